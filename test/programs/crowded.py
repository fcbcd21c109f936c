"""Runs a command in a network of its own of which every second port is taken, as on a node with many connections in TIME_WAIT.

    unshare -rn python3 crowded.py COMMAND...

Standard library only. The ports are held by sockets that the command inherits.
"""
import fcntl
import os
import socket
import struct
import sys

FIRST, LAST = 32768, 34767
SIOCSIFFLAGS, IFF_UP = 0x8914, 1

with socket.socket() as s:
    fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as f:
    f.write("%d %d" % (FIRST, LAST))
held = []
for port in range(FIRST, LAST + 1, 2):
    s = socket.socket(socket.AF_INET6)
    s.bind(("::", port))
    s.set_inheritable(True)
    held.append(s)
os.execvp(sys.argv[1], sys.argv[1:])
