"""TensorFlowOnSpark's test_reservation, case by case, and what strangers get."""

import os
import pickle
import socket
import threading
import unittest
from unittest import mock

from tfos.compat import util
from tfos.compat.reservation import TFOS_SERVER_HOST, TFOS_SERVER_PORT, Client, Reservations, Server


class ReservationTest(unittest.TestCase):
    def server(self, count):
        with mock.patch.object(util, "get_ip_address", return_value="127.0.0.1"):
            server = Server(count)
            address = server.start()
        self.addCleanup(server.stop)
        return server, address

    def client(self, *args):
        client = Client(*args)
        self.addCleanup(client.close)
        return client

    def test_reservation_class(self):
        r = Reservations(3)
        self.assertFalse(r.done())
        self.assertEqual(r.remaining(), 3)
        r.add("A")
        r.add("B")
        self.assertFalse(r.done())
        self.assertFalse(r.wait(0))
        r.add("C")
        self.assertTrue(r.done())
        self.assertTrue(r.wait())
        self.assertEqual(r.get(), ["A", "B", "C"])
        self.assertEqual(r.remaining(), 0)

    def test_reservation_server(self):
        server, address = self.server(1)
        client = self.client(address)
        self.assertEqual(client.register({"node": 1}), "OK")
        self.assertEqual(client.get_reservations(), [{"node": 1}])
        self.assertEqual(client.await_reservations(), [{"node": 1}])
        self.assertEqual(server.await_reservations(timeout=0), [{"node": 1}])
        client.request_stop()
        self.assertTrue(server.done)

    def test_reservation_server_multi(self):
        server, address = self.server(4)
        found = []

        def node(i):
            client = Client(address)
            client.register({"node": i})
            found.append(client.await_reservations())
            client.close()

        nodes = [threading.Thread(target=node, args=(i,)) for i in range(4)]
        for n in nodes:
            n.start()
        for n in nodes:
            n.join()
        for seen in found + [server.await_reservations(timeout=0)]:
            self.assertEqual(sorted(r["node"] for r in seen), [0, 1, 2, 3])
        self.assertEqual(len(found), 4)

    def test_reservation_enviroment_exists_get_server_ip_return_environment_value(self):
        with mock.patch.dict(os.environ, {TFOS_SERVER_HOST: "my_host_ip"}):
            self.assertEqual(Server(1).get_server_ip(), "my_host_ip")

    def test_reservation_enviroment_not_exists_get_server_ip_return_actual_host_ip(self):
        with mock.patch.dict(os.environ):
            os.environ.pop(TFOS_SERVER_HOST, None)
            self.assertEqual(Server(1).get_server_ip(), util.get_ip_address())

    def test_port_spec(self):
        for said, want in [("9999", [9999]), ("9997-9999", [9997, 9998, 9999]), ("", [0]), ("0", [0])]:
            with self.subTest(said), mock.patch.dict(os.environ, {TFOS_SERVER_PORT: said}):
                self.assertEqual(Server(1).get_server_ports(), want)
        for said in ["x", "1-", "9-8", "65536", "-1"]:
            with self.subTest(said), mock.patch.dict(os.environ, {TFOS_SERVER_PORT: said}):
                if said == "1-":
                    self.assertEqual(Server(1).get_server_ports(), [1])
                    continue
                with self.assertRaisesRegex(ValueError, "want a port"):
                    Server(1).get_server_ports()

    def test_start_listening_socket_takes_the_port_of_the_environment(self):
        with socket.socket() as s:
            s.bind(("", 0))
            port = s.getsockname()[1]
        with mock.patch.dict(os.environ, {TFOS_SERVER_PORT: str(port)}):
            with Server(1).start_listening_socket() as s:
                self.assertEqual(s.getsockname()[1], port)

    def test_no_port_of_the_environment_is_free(self):
        with socket.socket() as s:
            s.bind(("", 0))
            s.listen()
            with mock.patch.dict(os.environ, {TFOS_SERVER_PORT: str(s.getsockname()[1])}):
                with self.assertRaisesRegex(OSError, "no port of TFOS_SERVER_PORT"):
                    Server(1).start_listening_socket()

    def test_the_next_port_of_a_range_is_taken(self):
        with mock.patch.object(Server, "get_server_ports") as ports, socket.socket() as taken:
            taken.bind(("", 0))
            taken.listen()
            ports.return_value = [taken.getsockname()[1], 0]
            with Server(1).start_listening_socket() as s:
                self.assertNotEqual(s.getsockname()[1], taken.getsockname()[1])

    def test_await_ends(self):
        server, _ = self.server(2)
        with self.assertRaisesRegex(TimeoutError, "2 of 2 nodes did not start within 0 s"):
            server.await_reservations(timeout=0)
        with self.assertRaisesRegex(RuntimeError, "no such file"):
            server.await_reservations(status={"error": "no such file"})
        server.stop()
        with self.assertRaisesRegex(RuntimeError, "were stopped; 2 nodes had not started"):
            server.await_reservations()

    def test_the_address_carries_the_secret_and_does_not_print_it(self):
        server, address = self.server(1)
        again = pickle.loads(pickle.dumps(address))
        self.assertEqual(self.client(again).register("x"), "OK")
        host, port = again
        self.assertEqual(repr(again), repr((host, port)))
        self.assertEqual(self.client((host, port), again.secret).get_reservations(), ["x"])
        with self.assertRaisesRegex(ValueError, "wants the address that Server.start"):
            Client((host, port))

    def test_strangers(self):
        server, (host, port) = self.server(1)
        stranger = self.client((host, port), "a guess")
        with self.assertLogs("tfos.compat.reservation", "WARNING"), self.assertRaises(ConnectionError):
            stranger.register("x")
        for said in [b"", b"GET / HTTP/1.1\r\n\r\n", pickle.dumps({"type": "REG"}), bytes(16) + b"\xff" * 36, bytes(16) + b"\0\0\0\2" + bytes(32) + b"{}"]:
            with socket.create_connection((host, port)) as s:
                s.sendall(said)
                s.shutdown(socket.SHUT_WR)
                greeting = b""
                try:
                    while True:
                        more = s.recv(100)
                        if not more:
                            break
                        greeting += more
                except ConnectionResetError:
                    pass
                self.assertLessEqual(len(greeting), 16)
        self.assertEqual(server.reservations.get(), [])
        self.assertFalse(server.done)

    def test_nobody_listens(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            with self.assertRaisesRegex(ConnectionError, "no reservations' server answers"):
                Client(s.getsockname(), "secret")
