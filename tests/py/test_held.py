"""Limits count what a guest holds, not what it ever made: pipes, pairs of sockets and event counters are given back when nobody holds
them any more, and who keeps them is held by the limit, however he keeps them."""

import pytest

from belljar import Policy, Sandbox, SandboxError, Template

core = pytest.mark.core
ENDS = 200  # supervisor/pairs.c

MAKE = """
import asyncio, os, select, socket, threading, time
def make(kind):
    if kind == "pipe": return list(os.pipe())
    if kind == "pair": return [end.detach() for end in socket.socketpair()]
    return [os.eventfd(1)]
def most(kind):
    kept = []
    try:
        while True: kept.append(make(kind))
    except OSError as error:
        assert error.errno == 24, error
    return kept
def close(kept):
    for ends in kept:
        for fd in ends: os.close(fd)
"""


@pytest.fixture(scope="module")
def template():
    with Template(Policy(descriptors=4096, threads=64, timeout=60), parked=1) as template:
        yield template


@core
def test_a_session_runs_as_many_event_loops_as_it_likes(template):
    with template.sandbox() as sandbox:
        for _ in range(3):
            ex = sandbox.run_code("import asyncio\nfor n in range(400): asyncio.run(asyncio.sleep(0))\nn")
            assert (ex.text, ex.error) == ("399", None)


KINDS = {"pipe": ENDS, "pair": 32, "counter": ENDS}


@core
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_closed_is_given_back_and_what_is_kept_is_not(template, kind):
    ex = template.run(
        MAKE
        + f"""
for _ in range(500): close([make({kind!r})])
for _ in range(3):
    kept = most({kind!r})
    print(len(kept))
    close(kept)
"""
    )
    assert (ex.stdout, ex.error) == (f"{KINDS[kind]}\n" * 3, None)


HELD = {
    "one end": ("pipe", "for a, b in kept: os.close(b)"),
    "the other end": ("pipe", "for a, b in kept: os.close(a)"),
    "full, one end": ("pair", "for a, b in kept:\n    os.set_blocking(a, False)\n    try:\n        while True: os.write(a, bytes(4096))\n"
                              "    except OSError: pass\n    os.close(a)"),
    "full, the sender": ("pair", "for a, b in kept:\n    os.set_blocking(a, False)\n    try:\n        while True: os.write(a, bytes(4096))\n"
                                 "    except OSError: pass\n    os.close(b)"),
    "copies": ("pair", "kept = [[os.dup(a) for a in ends] for ends in kept if not close([])]\n"),
    "waited for by a thread": ("pair", """
def hold(ends):
    poll = select.poll()
    for fd in ends: poll.register(fd, 0)
    poll.poll(3000)
for ends in kept:
    threading.Thread(target=hold, args=(ends,), daemon=True).start()
    if len(threading.enumerate()) > 60: break
time.sleep(0.3); held = min(60, len(kept)); close(kept[:held])
"""),
}  # fmt: skip


@core
@pytest.mark.parametrize("how", HELD)
def test_who_keeps_them_is_held_by_the_limit(template, how):
    kind, code = HELD[how]
    ex = template.run(
        MAKE + f"kept = most({kind!r}); held = len(kept)\n{code}\nmore = most({kind!r})\nprint(held, len(more))\nos._exit(0)"
    )
    held, more = map(int, ex.stdout.split())
    # An end of a pair that is alone counts once, and with it goes one direction of its buffers.
    assert held >= 30 and held + more <= KINDS[kind] * (1.5 if "full" in how else 1) and ex.error is None


@core
def test_a_descriptor_cannot_be_sent_away(template):
    ex = template.run("import socket, array\na, b = socket.socketpair()\nsocket.send_fds(a, [b'x'], [0])")
    assert ex.error is not None and ex.error.name == "PermissionError"
    assert template.run("import socket\na, b = socket.socketpair()\na.sendall(b'x'); print(b.recv(1))").stdout == "b'x'\n"


@core
def test_a_branch_counts_what_its_parent_held():
    with Sandbox(Policy(descriptors=4096)) as sandbox:
        sandbox.run_code(
            MAKE + "kept = [make('pipe') for _ in range(150)]\ndef count():\n    more = most('pipe'); close(more); return len(more)"
        )
        try:
            branch = sandbox.fork()
        except SandboxError as error:
            pytest.skip(f"no branch here: {error}")
        with branch:
            assert branch.run_code("count()").text == str(16 * 1024 // 64 - 150)  # of 16 MiB of buffers
        assert sandbox.run_code("count()").text == str(ENDS - 150)
        assert sandbox.run_code("close(kept); count()").text == str(ENDS)
