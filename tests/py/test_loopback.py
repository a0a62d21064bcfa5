"""network=["self"]: a loopback of the guest's own. Programs that are server and client in one print there what they print outside; it
reaches no other guest and nothing of the host's, and the kernel memory of its sockets has a bound."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import threading

import pytest

import belljar
from belljar import Policy, PolicyError, SandboxError, Template

core = pytest.mark.core
HERE = pathlib.Path(__file__).resolve().parent
OTHERS = [path for version in ("3.12.1", "3.13.0") for path in [f"/root/.pyenv/versions/{version}/bin/python3"] if os.access(path, os.X_OK)]


def has_namespaces() -> bool:
    try:
        return belljar.run("1", Policy(network="self")).verdict == "ok"
    except SandboxError as error:
        if "namespaces" in str(error):
            return False
        raise


needs_namespaces = pytest.mark.skipif(not has_namespaces(), reason="no user namespaces here: there is no loopback to be had")


@pytest.fixture(scope="module")
def template():
    with Template(Policy(network=["self"], timeout=60, descriptors=1024), parked=1) as template:
        yield template


PROGRAMS = {
    "http.server and its client": """
import http.server, threading, urllib.request, urllib.error
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/" else 404); self.end_headers(); self.wfile.write(b"x" * (300_000 if self.path == "/" else 9))
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.end_headers(); self.wfile.write(body[::-1])
    def log_message(self, *_): pass
for kind in (http.server.HTTPServer, http.server.ThreadingHTTPServer):
    for host in ("127.0.0.1", "localhost", ""):
        with kind((host, 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://localhost:{server.server_port}/"
            print(len(urllib.request.urlopen(url).read()), urllib.request.urlopen(url, data=b"abc" * 50_000).read()[:6])
            try: urllib.request.urlopen(url + "none")
            except urllib.error.HTTPError as error: print(error.code); error.close()
            server.shutdown()
""",
    "the command http.server": """
import functools, http.client, http.server, os, threading
os.makedirs("/tmp/served", exist_ok=True); open("/tmp/served/a.txt", "w").write("text")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(http.server.SimpleHTTPRequestHandler, directory="/tmp/served"))
server.RequestHandlerClass.func.log_message = lambda *_: None
threading.Thread(target=server.serve_forever, daemon=True).start()
connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
for path in ("/a.txt", "/"):
    connection.request("GET", path); answer = connection.getresponse(); print(answer.status, b"a.txt" in answer.read() or path)
server.shutdown()
""",
    "asyncio streams": """
import asyncio
async def handle(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper()); await writer.drain()
    writer.close()
async def client(port, n):
    reader, writer = await asyncio.open_connection("localhost", port)
    for i in range(5): writer.write(b"line %d of %d\\n" % (i, n)); last = await reader.readline()
    writer.write(b"x" * 50_000 + b"\\n"); size = len(await reader.readline())
    writer.close(); await writer.wait_closed()
    return last, size
async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        print((await asyncio.gather(*[client(server.sockets[0].getsockname()[1], n) for n in range(20)]))[-1])
asyncio.run(main())
""",
    "asyncio: much at once": """
import asyncio
async def handle(reader, writer):
    writer.writelines([b"y" * 1000] * 150); await writer.drain(); writer.write_eof()
    print(len(await reader.read())); writer.close()
async def main():
    server = await asyncio.start_server(handle, "::1", 0)
    reader, writer = await asyncio.open_connection("::1", server.sockets[0].getsockname()[1])
    writer.writelines([b"z" * 100_000] * 30); await writer.drain(); writer.write_eof(); print(len(await reader.read()))
    writer.close(); await writer.wait_closed(); server.close(); await server.wait_closed()
asyncio.run(main())
""",
    "asyncio datagrams": """
import asyncio
class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport): self.transport = transport
    def datagram_received(self, data, address): self.transport.sendto(data[::-1], address)
class Ask(asyncio.DatagramProtocol):
    def __init__(self): self.got = asyncio.get_running_loop().create_future()
    def connection_made(self, transport): transport.sendto(b"hello")
    def datagram_received(self, data, address): self.got.set_result(data)
async def main():
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    client, ask = await loop.create_datagram_endpoint(Ask, remote_addr=server.get_extra_info("sockname"))
    print(await ask.got); client.close(); server.close()
asyncio.run(main())
""",
    "socketserver": """
import socket, socketserver, threading
class Echo(socketserver.StreamRequestHandler):
    def handle(self): self.wfile.write(self.rfile.readline().upper())
class Datagram(socketserver.BaseRequestHandler):
    def handle(self): self.request[1].sendto(self.request[0].upper(), self.client_address)
for kind in (socketserver.TCPServer, socketserver.ThreadingTCPServer):
    kind.allow_reuse_address = True
    with kind(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with socket.create_connection(server.server_address) as client: client.sendall(b"hello\\n"); print(client.recv(100))
        server.shutdown()
with socketserver.UDPServer(("127.0.0.1", 0), Datagram) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); client.sendto(b"hello", server.server_address); print(client.recvfrom(100)[0])
    server.shutdown()
""",
    "xmlrpc": """
import threading, xmlrpc.client, xmlrpc.server
server = xmlrpc.server.SimpleXMLRPCServer(("localhost", 0), logRequests=False, allow_none=True)
server.register_function(pow); server.register_introspection_functions()
threading.Thread(target=server.serve_forever, daemon=True).start()
with xmlrpc.client.ServerProxy(f"http://localhost:{server.server_address[1]}") as proxy:
    print(proxy.pow(2, 9), "pow" in proxy.system.listMethods())
    try: proxy.nothing()
    except xmlrpc.client.Fault as fault: print(fault.faultCode)
server.shutdown()
""",
    "multiprocessing.connection": """
import threading
from multiprocessing.connection import Client, Listener, wait
with Listener(("localhost", 0), authkey=b"key") as listener:
    def serve():
        with listener.accept() as connection: connection.send([connection.recv(), 1, b"x" * 200_000])
    thread = threading.Thread(target=serve); thread.start()
    with Client(listener.address, authkey=b"key") as client:
        client.send({"a": 1}); print(wait([client], 10) == [client], [str(part)[:9] for part in client.recv()])
    thread.join()
""",
    "selectors, select, poll, epoll": """
import select, selectors, socket
for kind in (selectors.SelectSelector, selectors.PollSelector, selectors.EpollSelector):
    server = socket.create_server(("127.0.0.1", 0)); server.setblocking(False)
    client = socket.socket(); client.setblocking(False); print(client.connect_ex(server.getsockname()) in (0, 115))
    with kind() as selector:
        selector.register(server, selectors.EVENT_READ); selector.register(client, selectors.EVENT_WRITE)
        ready = set()
        while len(ready) < 2: ready |= {key.fileobj for key, _ in selector.select(10)}
        peer, _ = server.accept(); print(client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), peer.getblocking())
        selector.unregister(client); selector.register(client, selectors.EVENT_READ); selector.unregister(server)
        peer.sendall(b"x"); print([key.fileobj is client for key, _ in selector.select(10)], client.recv(9))
        peer.close(); print(select.select([client], [], [], 10)[0] == [client], client.recv(9))
""",
    "options, names, timeouts": """
import errno, socket, struct
server = socket.socket(); print(server.getsockname())
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); server.bind(("127.0.0.1", 0)); server.listen(1)
print(server.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR), server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
client = socket.create_connection(server.getsockname(), timeout=5); peer, address = server.accept()
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1); print(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1); peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 9, 0)); print(client.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16)[0])
client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192); print(client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
print(client.getsockname() == peer.getpeername() == address, client.getpeername() == peer.getsockname() == server.getsockname())
client.settimeout(0.05)
try: client.recv(1)
except TimeoutError as error: print(repr(error))
client.setblocking(False)
try: client.recv(1)
except BlockingIOError as error: print(error.errno == errno.EAGAIN)
client.shutdown(socket.SHUT_WR); print(peer.recv(1)); peer.sendall(b"still"); client.settimeout(5); print(client.recv(9))
peer.close()
try: print(client.recv(9))
except ConnectionResetError as error: print(repr(error))
server.close()
print(socket.socket().connect_ex(server_address := ("127.0.0.1", 1)))
try: socket.create_connection(("localhost", 1))
except ConnectionRefusedError as error: print(repr(error))
print(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP).proto, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).family.name)
one, two = socket.socket(), socket.socket(); one.bind(("127.0.0.1", 0))
try: two.bind(one.getsockname())
except OSError as error: print(repr(error))
""",
    "datagrams": """
import socket
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    a, b = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
    a.bind((host, 0)); a.settimeout(10)
    for size in (0, 1, 1400, 60_000): print(b.sendto(b"x" * size, a.getsockname()[:2]), len(a.recvfrom(65536)[0]))
    print(a.getsockname()[1] > 0, b.getsockname()[1] > 0)
    b.connect(a.getsockname()); b.send(b"connected"); print(a.recv(99), b.getpeername() == a.getsockname())
    buffer = bytearray(9); b.sendmsg([b"in", b" parts"]); print(a.recvfrom_into(buffer)[0] in (2, 8))
    try: b.sendto(b"x" * 70_000, a.getsockname())
    except OSError as error: print(error)
""",
    "both families, dual stack": """
import socket
print(socket.has_dualstack_ipv6())
server = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
for host in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "127.9.9.9"):
    with socket.create_connection((host, server.getsockname()[1]), timeout=10) as client:
        peer, address = server.accept(); client.sendall(b"x"); print(peer.recv(1), address[0]); peer.close()
""",
    "names": """
import socket
for name in ("localhost", "127.0.0.1"): print(socket.getaddrinfo(name, 80, socket.AF_INET, socket.SOCK_STREAM), socket.gethostbyname(name))
print(socket.getaddrinfo("::1", 80, type=socket.SOCK_STREAM), socket.getaddrinfo(None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][4])
print(socket.gethostbyname("localhost"), socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICSERV)[0], socket.getfqdn("localhost"))
print(socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV))
""",
    "a connection that has to wait": """
import socket, threading, time
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(0)
first = [socket.socket() for _ in range(3)]
for one in first: one.setblocking(False); one.connect_ex(server.getsockname())
def accept():
    time.sleep(0.3)
    for _ in range(4): server.accept()[0].sendall(b"x")
threading.Thread(target=accept, daemon=True).start()
late = socket.socket(); late.connect(server.getsockname()); print(late.recv(1))
""",
    "requests in a pool of threads": """
import socket, concurrent.futures, threading
server = socket.create_server(("127.0.0.1", 0), backlog=64)
def serve():
    for _ in range(64):
        peer, _ = server.accept(); peer.sendall(peer.recv(9).upper()); peer.close()
threading.Thread(target=serve, daemon=True).start()
def ask(n):
    with socket.create_connection(server.getsockname()) as client: client.sendall(b"n%d" % n); return client.recv(9)
with concurrent.futures.ThreadPoolExecutor(16) as pool: print(list(pool.map(ask, range(64)))[-1])
""",
    "sends in one thread what it reads there": """
import socket
server = socket.create_server(("127.0.0.1", 0)); client = socket.create_connection(server.getsockname()); peer, _ = server.accept()
for one, other in ((client, peer), (peer, client)):
    one.sendall(b"x" * 200_000); one.sendall(b"."); got = 0
    while got < 200_001: got += len(other.recv(1 << 20))
    print(got)
""",
    "sendmsg, makefile, sendfile": """
import socket, tempfile, threading
server = socket.create_server(("127.0.0.1", 0)); client = socket.create_connection(server.getsockname()); peer, _ = server.accept()
print(client.sendmsg([b"a", b"", b"bc"]), peer.recv(9), client.sendmsg([b"only"]), peer.recv(9))
with client.makefile("rwb") as file: file.write(b"line\\n"); file.flush(); print(peer.makefile("rb").readline())
with tempfile.TemporaryFile() as file:
    file.write(b"z" * 100_000); file.seek(0)
    got = []; thread = threading.Thread(target=lambda: got.append(sum(map(len, iter(lambda: peer.recv(65536), b""))))); thread.start()
    print(client.sendfile(file)); client.close(); thread.join(); print(got)
""",
}
TLS = """
import socket, ssl, threading
server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); server_side.load_cert_chain("CERT", "KEY")
client_side = ssl.create_default_context(cafile="CERT")
server = socket.create_server(("127.0.0.1", 0))
def serve():
    with server_side.wrap_socket(server.accept()[0], server_side=True) as peer:
        while data := peer.recv(65536): peer.sendall(data.upper())
threading.Thread(target=serve, daemon=True).start()
with client_side.wrap_socket(socket.create_connection(server.getsockname()), server_hostname="localhost") as client:
    client.sendall(b"x" * 9000); print(client.version(), sum(len(client.recv(9000)) for _ in range(1)) > 0, client.getpeercert()["subject"])
import asyncio
async def main():
    async def handle(reader, writer): writer.write((await reader.readline()).upper()); await writer.drain(); writer.close()
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=server_side)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1], ssl=client_side, server_hostname="localhost")
    writer.write(b"tls\\n"); print(await reader.readline()); writer.close()
asyncio.run(main())
"""


def outside(code: str, python: str = sys.executable) -> str:
    done = subprocess.run([python, "-I", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    return done.stdout


def alike(ex: belljar.Execution) -> str:
    assert ex.violations == [], ex
    return ex.stdout + ex.stderr


@core
@needs_namespaces
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_is_server_and_client_prints_what_it_prints_outside(template, name):
    plain = outside(PROGRAMS[name])
    assert plain and "Traceback" not in plain
    assert alike(template.run(PROGRAMS[name])) == plain
