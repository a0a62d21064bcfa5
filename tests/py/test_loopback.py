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
PYENV = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv") / "versions"
OTHERS = (
    [str(path) for minor in (12, 13) for path in sorted(PYENV.glob(f"3.{minor}.*/bin/python3"))[-1:]]
    if os.access(PYENV, os.X_OK)
    else []
)


def has_namespaces() -> bool:
    try:
        return belljar.run("1", Policy(network="self")).verdict == "ok"
    except SandboxError as error:
        if "namespaces" in str(error):
            return False
        raise


needs_namespaces = pytest.mark.skipif(not has_namespaces(), reason="no user namespaces here: no loopback is available")


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
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            url = f"http://localhost:{server.server_port}/"
            print(len(urllib.request.urlopen(url).read()), urllib.request.urlopen(url, data=b"abc" * 50_000).read()[:6])
            try: urllib.request.urlopen(url + "none")
            except urllib.error.HTTPError as error: print(error.code); error.close()
            server.shutdown()
""",
    "the command http.server": """
import functools, http.client, http.server, os, tempfile, threading
served = tempfile.mkdtemp(); open(served + "/a.txt", "w").write("text")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(http.server.SimpleHTTPRequestHandler, directory=served))
server.RequestHandlerClass.func.log_message = lambda *_: None
threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
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
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with socket.create_connection(server.server_address) as client: client.sendall(b"hello\\n"); print(client.recv(100))
        server.shutdown()
with socketserver.UDPServer(("127.0.0.1", 0), Datagram) as server:
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); client.sendto(b"hello", server.server_address); print(client.recvfrom(100)[0])
    server.shutdown()
""",
    "xmlrpc": """
import threading, xmlrpc.client, xmlrpc.server
server = xmlrpc.server.SimpleXMLRPCServer(("localhost", 0), logRequests=False, allow_none=True)
server.register_function(pow); server.register_introspection_functions()
threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
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
    c = socket.socket(family, socket.SOCK_DGRAM)
    for flags in (0, socket.MSG_DONTWAIT):
        print(c.sendmsg([b"to", memoryview(b"-xy")[1:], b"", b" it"], [], flags, a.getsockname()[:2]), a.recv(99), b.sendmsg([b"1", b"2"], [], flags), a.recv(9))
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
    # The late one says something: a connection for which the kernel used a SYN cookie is made by that.
    "a connection that has to wait": """
import socket, threading, time
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(0)
first = [socket.socket() for _ in range(3)]
for one in first: one.setblocking(False); one.connect_ex(server.getsockname())
kept = []
def accept():
    time.sleep(0.3)
    while True: kept.append(server.accept()[0]); kept[-1].sendall(b"x")
threading.Thread(target=accept, daemon=True).start()
late = socket.socket(); late.connect(server.getsockname()); late.sendall(b"?"); print(late.recv(1))
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
    done = subprocess.run(
        [python, "-I", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
    )
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


@needs_namespaces
def test_tls_over_it(tmp_path):
    if subprocess.run(["sh", "-c", "command -v openssl"], stdout=subprocess.DEVNULL, check=False).returncode != 0:
        pytest.skip("no openssl to make a certificate with")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key", "-out", tmp_path / "cert", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)  # fmt: skip
    files = {"cert": (tmp_path / "cert").read_bytes(), "key": (tmp_path / "key").read_bytes()}
    plain = outside(TLS.replace("CERT", str(tmp_path / "cert")).replace("KEY", str(tmp_path / "key")))
    ex = belljar.run(TLS.replace("CERT", "cert").replace("KEY", "key"), Policy(network=["self"]), files=files)
    assert plain.count("\n") == 2 and "TLS\\n" in plain
    assert alike(ex) == plain


@needs_namespaces
@pytest.mark.parametrize("python", OTHERS)
def test_newer_interpreters_have_it_too(python):
    names = [name for name in PROGRAMS if "asyncio" in name or "sendmsg" in name]
    code = "".join(PROGRAMS[name] for name in names)
    try:
        ex = belljar.run(code, Policy(network=["self"]), python=python)
    except SandboxError as error:
        pytest.skip(f"the sandbox's user cannot use {python}: {error}")
    assert alike(ex) == outside(code, python)


# ---- What it is not -----------------------------------------------------------------------------------------------

LIBC = "import ctypes, errno, os, socket, struct\nlibc = ctypes.CDLL(None, use_errno=True)\n"
OTHER_HINT = 'network=["self"] is 127.0.0.1 and ::1 of the guest\'s own, and there is no other network; hand data in by files= or expose() a host function'
REFUSALS = {
    "connect, IPv4": ("socket.socket().connect(('192.0.2.7', 80))", "connect", "192.0.2.7, port 80", "socket.socket().connect_ex(('127.0.0.1', 80))"),
    "connect, IPv6": ("socket.socket(socket.AF_INET6).connect(('2001:db8::7', 443))", "connect", "2001:db8::7, port 443",
                      "socket.socket(socket.AF_INET6).connect_ex(('::1', 443))"),
    "connect, mapped": ("socket.socket(socket.AF_INET6).connect(('::ffff:192.0.2.7', 1))", "connect", "::ffff:192.0.2.7, port 1",
                        "socket.socket(socket.AF_INET6).connect_ex(('::ffff:127.0.0.1', 1))"),
    "create_connection": ("socket.create_connection(('192.0.2.7', 80))", "connect", "192.0.2.7, port 80", "socket.socket().connect_ex(('127.8.8.8', 80))"),
    "bind": ("socket.create_server(('192.0.2.7', 8000))", "bind", "192.0.2.7, port 8000", "socket.create_server(('127.0.0.1', 8000)).close()"),
    "sendto": ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.7', 53))", "sendto", "192.0.2.7, port 53",
               "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53))"),
    "sendmsg": ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('192.0.2.7', 53))", "sendto", "192.0.2.7, port 53",
                "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('127.0.0.1', 53))"),
    "multicast": ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('224.0.0.1', 53))", "sendto", "224.0.0.1, port 53",
                  "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('0.0.0.0', 53))"),
    "raw": ("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", "socket", "AF_INET", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 17)"),
    "raw, IPv6": ("socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)", "socket", "AF_INET6", "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, 17)"),
    "ping": ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1)", "socket", "AF_INET", "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 6)"),
    "MPTCP": ("socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)", "socket", "AF_INET", "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0)"),
    "SCTP": ("socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)", "socket", "AF_INET", "socket.socket(socket.AF_INET6)"),
    "AF_UNIX": ("socket.socket(socket.AF_UNIX).bind('/tmp/x')", "bind", "AF_UNIX /tmp/x", "socket.socket(socket.AF_UNIX)"),
    "AF_PACKET": ("socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", "socket", "AF_PACKET", "socket.socketpair()"),
    "bound to a device": ("socket.socket().setsockopt(socket.SOL_SOCKET, 25, b'lo')", "setsockopt", "option 25 of level 1",
                          "socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)"),
    "a filter": ("socket.socket().setsockopt(socket.SOL_SOCKET, 26, b'x' * 16)", "setsockopt", "option 26 of level 1",
                 "socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)"),
    "an upper protocol": ("socket.socket().setsockopt(socket.IPPROTO_TCP, 31, b'tls')", "setsockopt", "option 31 of level 6",
                          "socket.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)"),
    "repair": ("socket.socket().setsockopt(socket.IPPROTO_TCP, 19, 1)", "setsockopt", "option 19 of level 6",
               "socket.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)"),
    "IP options": ("socket.socket().setsockopt(socket.IPPROTO_IP, 4, b'')", "setsockopt", "option 4 of level 0",
                   "socket.socket(socket.AF_INET6).setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)"),
    "without a copy": ("socket.socket().setsockopt(socket.SOL_SOCKET, 60, 1)", "setsockopt", "option 60 of level 1",
                       "socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)"),
}  # fmt: skip


@core
@needs_namespaces
@pytest.mark.parametrize("name", REFUSALS)
def test_anything_else_is_refused_with_its_name_and_the_nearest_thing_is_not(template, name):
    refused, operation, target, twin = REFUSALS[name]
    ex = template.run(f"import socket\ntry: {refused}; print('PASSED')\nexcept PermissionError as error: print(error)")
    assert (
        "PASSED" not in ex.stdout
        and f"belljar: {operation}() is refused" in ex.stdout
        and target in ex.stdout
        and "rule: network" in ex.stdout
    ), ex
    assert [(one.op, one.target, one.rule) for one in ex.violations] == [(operation, target, "network")]
    if "port" in target:
        assert ex.violations[0].hint == OTHER_HINT
    assert "--network" not in ex.violations[0].hint  # it is there already
    ex = template.run(f"import socket\n{twin}")
    assert (ex.error, ex.violations) == (None, [])


@core
@needs_namespaces
def test_native_code_has_the_same_answers(template):
    ex = template.run(
        LIBC
        + """
def call(name, *args):
    ctypes.set_errno(0)
    result = getattr(libc, name)(*args)
    return result, errno.errorcode.get(ctypes.get_errno(), 0)
def address(family, port, host): return struct.pack("=HH4s8x", family, socket.htons(port), socket.inet_aton(host))
away, near = address(2, 80, "192.0.2.7"), address(2, 80, "127.0.0.1")
s, d = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("away", call("connect", s.fileno(), away, 16), call("bind", s.fileno(), away, 16), call("sendto", d.fileno(), b"x", 1, 0, away, 16))
print("near", call("connect", s.fileno(), near, 16), call("sendto", d.fileno(), b"x", 1, 0, near, 16))
print("length", [call("connect", s.fileno(), near, length)[1] for length in (0, 1, 2, 15, 129, -1)])
print("pointer", call("connect", s.fileno(), None, 16), call("bind", s.fileno(), ctypes.c_void_p(1 << 46), 16))
print("unix", call("connect", s.fileno(), struct.pack("=H", 1) + b"/tmp/x" + bytes(100), 110), call("bind", d.fileno(), struct.pack("=H", 1) + b"\\0abstract" + bytes(90), 100))
a, b = socket.socketpair(); r, w = os.pipe()
print("others", [call(name, fd, near, 16)[1] for name in ("connect", "bind") for fd in (a.fileno(), r, 0, 3, 999, -1)])
print("listen", call("listen", a.fileno(), 1), call("listen", 3, 1))
print("long", call("sendto", d.fileno(), b"x", ctypes.c_size_t(1 << 40), 0, near, 16), call("sendto", d.fileno(), b"x", 1, 0x8000, near, 16)[1])
print("linger", call("setsockopt", s.fileno(), 1, 13, struct.pack("ii", 1, 3600), 8), call("setsockopt", s.fileno(), 1, 13, struct.pack("ii", 1, 0), 8))
print("peer", call("getsockopt", 3, 1, 17, ctypes.create_string_buffer(12), ctypes.byref(ctypes.c_int(12))))
"""
    )
    assert ex.error is None, ex
    assert ex.stdout.splitlines() == [
        "away (-1, 'EPERM') (-1, 'EPERM') (-1, 'EPERM')",
        "near (-1, 'ECONNREFUSED') (1, 0)",
        "length ['EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL']",
        "pointer (-1, 'EFAULT') (-1, 'EFAULT')",
        "unix (-1, 'EPERM') (-1, 'EPERM')",
        "others ['ENOTSUP', 'ENOTSOCK', 'ENOTSOCK', 'ENOTSUP', 'EBADF', 'EBADF', 'ENOTSUP', 'ENOTSOCK', 'ENOTSOCK', 'ENOTSUP', 'EBADF', 'EBADF']",
        "listen (-1, 'ENOTSUP') (-1, 'ENOTSUP')",
        "long (-1, 'EMSGSIZE') EPERM",
        "linger (-1, 'ENOTSUP') (0, 0)",
        "peer (-1, 'ENOPROTOOPT')",
    ]
    assert {(one.op, one.target) for one in ex.violations} >= {("connect", "192.0.2.7, port 80"), ("bind", "192.0.2.7, port 80")}


@core
@needs_namespaces
def test_an_address_that_changes_while_it_is_looked_at_leads_nowhere_else(template):
    ex = template.run(
        LIBC
        + """
import threading, time
buffer = ctypes.create_string_buffer(16); near = struct.pack("=HH4s8x", 2, socket.htons(9), socket.inet_aton("127.0.0.1"))
away = struct.pack("=HH4s8x", 2, socket.htons(9), socket.inet_aton("192.0.2.7")); stop = []
def change():
    while not stop: ctypes.memmove(buffer, near, 16); ctypes.memmove(buffer, away, 16)
threading.Thread(target=change).start(); seen = set(); end = time.monotonic() + 1
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while time.monotonic() < end:
    ctypes.set_errno(0); seen.add((libc.connect(s.fileno(), buffer, 16), ctypes.get_errno()))
    try: seen.add(s.getpeername()[0])
    except OSError: pass
stop.append(1); print(sorted(map(str, seen)))
"""
    )
    assert ex.stdout == "['(-1, 1)', '(0, 0)', '127.0.0.1']\n", ex


@core
@needs_namespaces
def test_a_name_that_is_not_there_is_a_gaierror_with_host_port_words_and_record(template):
    for code, asked, where in (
        ("socket.getaddrinfo('example.com', 80)", "socket.getaddrinfo()", "example.com, port 80"),
        ("socket.gethostbyname('example.com')", "socket.gethostbyname()", "example.com"),
        ("socket.create_connection(('example.com', 81))", "socket.getaddrinfo()", "example.com, port 81"),
        ("socket.socket().connect(('example.com', 82))", "socket.getaddrinfo()", "example.com, port 82"),
        ("socket.socket().connect_ex(('example.com', 82))", "socket.getaddrinfo()", "example.com, port 82"),
        ("socket.socket().bind(('example.com', 8080))", "socket.getaddrinfo()", "example.com, port 8080"),
        (
            "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', 0, ('example.com', 53))",
            "socket.getaddrinfo()",
            "example.com, port 53",
        ),
        (
            "socket.socket(type=socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('example.com', 53))",
            "socket.getaddrinfo()",
            "example.com, port 53",
        ),
        ("__import__('_socket').socket().connect(('example.com', 82))", "looking up a name", "example.com"),
        ("urllib.request.urlopen('http://example.com:83/')", "socket.getaddrinfo()", "example.com, port 83"),
        ("asyncio.run(asyncio.open_connection('example.com', 84))", "socket.getaddrinfo()", "example.com, port 84"),
    ):
        ex = template.run("import asyncio, socket, urllib.request\n" + code)
        said = f'[Errno -2] belljar: {asked} is refused: {where} (rule: network; remedy: network=["self"] has the names of its /etc/hosts, '
        assert said in ex.error.value and ex.error.name in ("gaierror", "URLError") and ex.verdict == "violation", ex
        assert [(one.op, one.target, one.rule) for one in ex.violations] == [("connect", where, "network")], code


@core
@needs_namespaces
def test_the_loopback_is_the_one_interface(template):
    ex = template.run("""
import socket
print(socket.if_nametoindex("lo"), socket.if_indextoname(1), socket.if_nameindex())
for function, asked in (socket.if_nametoindex, "eth0"), (socket.if_indextoname, 2):
    try: function(asked)
    except OSError as error: print(error)
""")  # fmt: skip
    lines = ["1 lo [(1, 'lo')]", "no interface with this name", "[Errno 6] No such device or address"]
    assert ex.stdout.splitlines() == lines and ex.violations == [], ex


@core
@needs_namespaces
def test_names_that_libraries_only_look_for_are_probes(template):
    ex = template.run("""
import socket
print(socket.gethostbyname("localhost"), socket.getfqdn(), socket.getfqdn("example.com"))
for own in ("belljar.local", "belljar.localdomain"):
    try: socket.gethostbyname_ex(own)
    except socket.gaierror as error: print(error.errno, error.strerror)
""")  # fmt: skip
    assert ex.stdout.splitlines() == ["127.0.0.1 belljar example.com"] + ["-2 Name or service not known"] * 2, ex
    assert ex.verdict == "ok" and ex.violations == [] and ex.probes > 0


@core
@needs_namespaces
def test_a_local_socket_has_no_name_and_no_peer(template):
    """AF_UNIX: programs that only look whether there is such a thing go on; a name is refused, with the path."""
    ex = template.run("""
import socket, asyncio, multiprocessing.connection
one = socket.socket(socket.AF_UNIX); two = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for go in (lambda: one.bind("/tmp/s"), lambda: one.connect("/tmp/s"), lambda: two.sendto(b"x", "/tmp/s"), lambda: one.bind("\\0name"),
           lambda: asyncio.run(asyncio.start_unix_server(print, "/tmp/s")), lambda: multiprocessing.connection.Listener("/tmp/s", "AF_UNIX")):
    try: go()
    except PermissionError as error: print(error.strerror.partition(" (rule: network;")[0])
try: one.send(b"x")
except OSError as error: print(error.strerror)
""")  # fmt: skip
    assert ex.stdout.splitlines() == [
        f"belljar: {op}() is refused: AF_UNIX{path}"
        for op, path in (
            ("bind", " /tmp/s"),
            ("connect", " /tmp/s"),
            ("sendto", " /tmp/s"),
            ("bind", ""),
            ("bind", " /tmp/s"),
            ("bind", " /tmp/s"),
        )
    ] + ["Transport endpoint is not connected"], ex
    assert {one.rule for one in ex.violations} == {"network"}
    assert {one.hint.split(" here:")[0] for one in ex.violations} == {"sockets of AF_UNIX have no addresses"}


@core
@needs_namespaces
def test_a_connection_to_a_full_queue_goes_on_and_leaves_the_socket_as_it_was(template):
    ex = template.run(
        LIBC
        + """
import select
def call(name, *arguments):
    ctypes.set_errno(0); result = getattr(libc, name)(*arguments); return result, errno.errorcode.get(ctypes.get_errno(), 0)
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(0)
near = struct.pack("=HH4s8x", 2, socket.htons(server.getsockname()[1]), socket.inet_aton("127.0.0.1"))
made = [socket.socket() for _ in range(2)]; made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 7, 0))
said = [call("connect", one.fileno(), near, 16) for one in made]
print(said[0], said[-1], call("connect", made[-1].fileno(), near, 16))
print({os.get_blocking(one.fileno()) for one in made}, struct.unpack("ll", made[-1].getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16))[0])
taken = [server.accept()[0] for _ in made]
select.select([], made[-1:], []); made[-1].sendall(b"x"); print(len(taken), made[-1].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
print(call("connect", made[-1].fileno(), near, 16)[1])
"""
    )
    assert ex.stdout.splitlines() == ["(0, 0) (-1, 'EINTR') (-1, 'EINTR')", "{True} 7", "2 0", "0"], ex
    assert ex.violations == []


@needs_namespaces
def test_one_thread_may_send_much_before_it_reads(template):
    """Less than outside, but as much as the machine's own limit of a queue lets be had; the next connections have less."""
    ex = template.run("""
import socket
server = socket.create_server(("127.0.0.1", 0)); got = []; kept = []
for _ in range(6):
    client = socket.create_connection(server.getsockname()); peer, _ = server.accept(); kept += [client, peer]
    client.setblocking(False); sent = 0
    try:
        while True: sent += client.send(b"x" * 50_000)
    except BlockingIOError: got.append(sent)
print(*got)
""")  # fmt: skip
    got = [int(word) for word in ex.stdout.split()]
    with open("/proc/sys/net/core/wmem_max") as most:
        room = min(2 << 20, 2 * int(most.read()))
    assert min(got[:2]) > room * 3 // 4 and 300_000 < got[-1] < 700_000, (ex, room)


@core
@needs_namespaces
def test_a_port_of_the_administrators_is_refused_in_words(template):
    ex = template.run("import socket\nsocket.create_server(('127.0.0.1', 80))")
    assert (
        ex.error.name == "PermissionError" and "127.0.0.1, port 80 (rule: network; remedy: ports below 1024" in ex.error.value
    ), ex
    assert [(one.op, one.target, one.rule) for one in ex.violations] == [("bind", "127.0.0.1, port 80", "network")]
    assert template.run("import socket\nsocket.create_server(('127.0.0.1', 1024)).close()").violations == []


NAMES = [
    ("connect", "connect((HOST, 9))"),
    ("bind", "bind((HOST, 0))"),
    ("sendto", "sendto(b'', (HOST, 9))"),
    ("sendmsg", "sendmsg([b''], [], 0, (HOST, 9))"),
]


@needs_namespaces
@pytest.mark.parametrize(("name", "call"), NAMES, ids=[name for name, _ in NAMES])
def test_a_name_is_looked_up_once_for_a_call_of_a_socket(template, name, call):
    """By what the supervisor has answered: a name costs what getaddrinfo costs, and a number nothing."""
    each = "import socket\nfor _ in range(10):\n    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s: "
    lookup = "socket.getaddrinfo('LOCALHOST', 9, s.family, s.type)\n"
    with template.sandbox() as sandbox:
        for _ in range(2):  # what is made once is there at the second time
            runs = [
                sandbox.run_code(each + code)
                for code in ("s." + call.replace("HOST", "'127.0.0.1'"), lookup, "s." + call.replace("HOST", "'LOCALHOST'"))
            ]
        assert [run.verdict for run in runs] == ["ok"] * 3, runs
    served = by_number, alone, by_name = [run.usage.served for run in runs]
    assert by_number < by_name <= by_number + alone, served


@needs_namespaces
def test_its_own_name_is_on_it(template):
    ex = template.run(
        """
import http.server, socket
print(socket.gethostbyname(socket.gethostname()), socket.getfqdn())
with http.server.HTTPServer(("", 0), None) as server: print(server.server_name)
with socket.create_server((socket.gethostname(), 0)) as server: socket.create_connection(server.getsockname()).close()
"""
    )
    assert (ex.stdout, ex.error) == ("127.0.1.1 belljar\nbelljar\n", None), ex


# ---- Whom it reaches ----------------------------------------------------------------------------------------------


@core
@needs_namespaces
def test_two_guests_of_one_template_and_the_host_do_not_meet(template):
    with socket.create_server(("127.0.0.1", 0)) as listener, template.sandbox() as one, template.sandbox() as other:
        port = listener.getsockname()[1]
        serve = f"import socket\nserver = socket.create_server(('127.0.0.1', {port})); server.getsockname()[1]"
        ask = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 5).close()"
        refused = f"import socket\nsocket.socket().connect_ex(('127.0.0.1', {port}))"
        socket.create_connection(("127.0.0.1", port), 5).close()  # outside it is there
        assert one.run_code(refused).text == "111"
        assert one.run_code(serve).text == str(port)  # the host's does not take the number
        assert one.run_code(ask).error is None
        assert other.run_code(refused).text == "111"
        assert other.run_code(serve).text == str(port)
        assert other.run_code(ask).error is None
        assert template.run(refused.replace("import", "import")).text == "111"


@needs_namespaces
def test_what_a_guest_leaves_is_gone_with_it(template):
    code = "import socket\nserver = socket.create_server(('127.0.0.1', 4711)); socket.create_connection(('127.0.0.1', 4711)).sendall(b'x')"
    for _ in range(3):
        assert template.run(code).error is None


@needs_namespaces
def test_a_session_cannot_be_forked_and_goes_on(template):
    with template.sandbox() as sandbox:
        sandbox.run_code("import socket\nserver = socket.create_server(('127.0.0.1', 0))")
        with pytest.raises(SandboxError, match=r'network=\["self"\] cannot be forked'):
            sandbox.fork()
        assert sandbox.run_code("socket.create_connection(server.getsockname()).close(); 1").text == "1"


@needs_namespaces
def test_a_session_without_it_can_be_forked():
    with belljar.Sandbox() as sandbox:
        sandbox.run_code("x = 1")
        with sandbox.fork() as branch:
            assert branch.run_code("x").text == "1"


# ---- What it may hold ---------------------------------------------------------------------------------------------

FILL = """
import errno, socket
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(4096); kept = []; made = 0
def fill(one):
    one.setblocking(False)
    try:
        while True: one.send(b"x" * 50_000)
    except BlockingIOError: pass
try:
    while made < 1500:
        client = socket.socket(); client.connect(server.getsockname()); made += 1; fill(client); HOW
except OSError as error: print(errno.errorcode[error.errno], made < 150, "rule: network" in str(error))
"""


@needs_namespaces
@pytest.mark.parametrize(
    "how", ["kept.append(client)", "client.close()", "kept.append(client); kept.append(server.accept()[0]); fill(kept[-1])"]
)
def test_full_queues_have_a_bound_also_those_that_nobody_holds(template, how):
    ex = template.run(FILL.replace("HOW", how))
    assert ex.stdout == "ENOBUFS True True\n", ex
    assert {(one.op in ("connect", "socket"), one.target) for one in ex.violations} == {(True, "16 MiB for sockets and pipes")}


@needs_namespaces
def test_what_is_read_and_closed_is_given_back(template):
    ex = template.run(
        """
import socket
server = socket.create_server(("127.0.0.1", 0))
for _ in range(3000):
    client = socket.create_connection(server.getsockname()); peer, _ = server.accept(); client.sendall(b"x" * 9000)
    while len(peer.recv(9000)) < 1: pass
    client.close(); peer.close()
kept = [end for _ in range(100) for end in (socket.create_connection(server.getsockname()), server.accept()[0])]
print(len(kept))
"""
    )
    assert (ex.stdout, ex.error) == ("200\n", None)


# ---- How it is asked for ------------------------------------------------------------------------------------------


def test_other_values_are_an_error_that_says_what_there_is():
    for value in ("example.com", "127.0.0.1", ["self", "pypi.org:443"], True, {"self": 1}):
        with pytest.raises(PolicyError, match='network: "self" .a loopback of the guest\'s own; there is no network but that'):
            Policy(network=value)
    with pytest.raises(PolicyError, match="compute has no sockets"):
        belljar.run("1", Policy(network="self", profile="compute"))
    assert Policy(network="self").options["network"] == ["self"] == Policy(network=["self"], profile="full").options["network"]
    assert Policy(network=[]).options["network"] == [] == Policy().options["network"] and Policy(network=[]) == Policy()


@core
@needs_namespaces
def test_the_command_the_policy_file_and_explain_have_it(tmp_path):
    code = "import socket; print(socket.create_server(('127.0.0.1', 0)).getsockname()[0])"
    (tmp_path / "policy.json").write_text(json.dumps({"network": ["self"]}))
    for how in (["--network", "self"], ["--policy", str(tmp_path / "policy.json")]):
        done = subprocess.run(["belljar", "run", *how, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert (done.stdout, done.returncode) == ("127.0.0.1\n", 0), done
    done = subprocess.run(
        ["belljar", "run", "--network", "example.com", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2 and 'network: "self"' in done.stderr
    done = subprocess.run(["belljar", "explain", "--network", "self"], capture_output=True, text=True, timeout=60, check=True)
    plain = subprocess.run(["belljar", "explain"], capture_output=True, text=True, timeout=60, check=True)
    assert "connect" in done.stdout and done.stdout != plain.stdout
    done = subprocess.run(["belljar", "doctor"], capture_output=True, text=True, timeout=60, check=False)
    assert "loopback for each guest" in done.stdout


@core
def test_without_namespaces_it_is_refused_at_the_start_and_all_else_runs():
    run = [sys.executable, str(HERE / "without_namespaces.py"), "belljar", "run"]
    done = subprocess.run([*run, "--network", "self", "-c", "print(1)"], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "" and done.returncode == 125 and "needs user namespaces" in done.stderr, done
    done = subprocess.run([*run, "-c", "print(1)"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("1\n", 0), done


def test_without_it_the_remedy_names_it():
    ex = belljar.run("import socket\nsocket.create_connection(('localhost', 8000))")
    assert ex.error.name == "gaierror" and '--network self (network=["self"])' in ex.stderr + str(ex.error.value)
    ex = belljar.run("import socket\nsocket.socket()")
    assert ex.violations[0].hint.startswith("a loopback of its own, 127.0.0.1 and ::1, is --network self")
