"""Queues of sockets of a loopback of its own, filled: of connections that nobody accepts, whose clients are closed, whose both ends
are kept, and of datagrams. Says how much it got rid of at the same time, a packet as what the kernel accounts for it at the least."""
import socket
PACKET = 768
held = 0
def fill(end, chunk):
    end.setblocking(False)
    got = 0
    try:
        while got < 64 * MIB:
            got += max(end.send(chunk), PACKET if len(chunk) == 1 and end.type == socket.SOCK_DGRAM else 0)
    except OSError:
        pass
    return got
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen(100000)
kept = []
for n in range(3000):
    try:
        client = socket.socket(); client.setblocking(False); client.connect_ex(listener.getsockname())
        held += fill(client, b"x" * 50000)
        if n % 3 == 0:
            client.close()
        elif n % 3 == 1:
            kept.append(client)
        else:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30); held += fill(client, b"x"); kept.append(client)
            peer = listener.accept()[0]; peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
            held += fill(peer, b"x" * 50000); kept.append(peer)
    except OSError:
        break
for n in range(3000):
    try:
        there, here = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        there.bind(("::1", 0)); here.connect(there.getsockname()[:2]); there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)
        kept.append(there)
        for _ in range(400):
            here.send(b"x")
        held += 128 << 10
        here.close()
    except OSError:
        break
print("HELD", held, "sockets", len(kept))
time.sleep(0.2)
