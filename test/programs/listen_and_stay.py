"""Listens at its own address of TF_CONFIG, and takes steps for as long as it may."""
import json
import os
import socket
import time

config = json.loads(os.environ["TF_CONFIG"])
role, index = config["task"]["type"], config["task"]["index"]
host, port = config["cluster"][role][index].rsplit(":", 1)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("", int(port)))
listener.listen()
for step in range(1, 1_000_000):
    print(f"step {step}/1000000")
    time.sleep(0.2)
