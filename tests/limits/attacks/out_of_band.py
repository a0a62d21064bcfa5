"""Out-of-band data on a pair of sockets: code of the kernel's that nothing in Python needs."""
import socket
a, b = socket.socketpair()
try:
    a.send(b"x", socket.MSG_OOB); print("REACHED")
except OSError as problem:
    print("refused", problem)
