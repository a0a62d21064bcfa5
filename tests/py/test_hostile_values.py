"""Guests that speak for themselves on the value channel: one clear error for that sandbox, nothing kept, others served
(the attack of tests/escapes/kernel/k16_channel.py)."""

from __future__ import annotations

import ctypes
import gc
import os
import time

import pytest

import belljar
from belljar import Policy, ProtocolError, Sandbox, SandboxError, SessionEnded, Template

core = pytest.mark.core
PYTHON = "/usr/bin/python3"

SPEAK = """
import os, struct, time, threading
def send(data):
    while data: data = data[os.write(3, data):]
def frame(kind, payload=b"", length=None):
    return struct.pack("<II", len(payload) if length is None else length, kind) + payload
def call(number=1, kind=1, cbor=b"\\x80", length=None):
    return frame(65, struct.pack("<III", number, kind, len(cbor) if length is None else length) + cbor)
def result(cbor=b"", outcome=0, text=b""):
    fields = b"".join(struct.pack("<I", len(f)) + f for f in (b"", b"", b"", text, cbor))
    return frame(64, struct.pack("<III", outcome, 0, 0) + fields + struct.pack("<I", 0))
"""

WRONG = [
    ("an unknown frame", "send(frame(1000, b'x')); time.sleep(5)"),
    ("an unknown frame, of which nothing follows", "send(frame(1000, length=64 << 20)); time.sleep(5)"),
    ("a host's frame: run", "send(frame(1, bytes(64))); time.sleep(5)"),
    ("a host's frame: reply", "send(frame(3, struct.pack('<III', 1, 0, 0))); time.sleep(5)"),
    ("a length over the limit", "send(frame(65, length=0xffffffff)); time.sleep(5)"),
    ("a length just over the limit", "send(frame(65, length=(64 << 20) + 1)); time.sleep(5)"),
    ("an empty call", "send(frame(65)); time.sleep(5)"),
    ("half a call", "send(frame(65, b'123456')); time.sleep(5)"),
    ("a call whose length is wrong", "send(call(cbor=b'\\x84\\x80\\x61f\\x80\\xa0', length=5)); time.sleep(5)"),
    ("a call whose length is huge", "send(call(length=0xffffffff)); time.sleep(5)"),
    ("an unknown kind", "send(call(kind=77)); time.sleep(5)"),
    ("number 0", "send(call(number=0)); time.sleep(5)"),
    ("the same call twice", "c = call(5, 1, b'\\x84\\x80\\x61f\\x80\\xa0'); send(c + c); time.sleep(5)"),
    ("an older call", "m = b'\\x84\\x80\\x61f\\x80\\xa0'; send(call(5, 1, m) + call(4, 1, m)); time.sleep(5)"),
    ("no CBOR", "send(call(cbor=b'\\xff\\xff')); time.sleep(5)"),
    ("CBOR and more", "send(call(cbor=b'\\x80\\x80')); time.sleep(5)"),
    ("a number for a call", "send(call(cbor=b'\\x01')); time.sleep(5)"),
    ("an empty list", "send(call(cbor=b'\\x80')); time.sleep(5)"),
    ("65,535 nested lists", "send(call(cbor=b'\\x81' * 65535 + b'\\x00')); time.sleep(5)"),
    ("a list of 2**64-1 items", "send(call(cbor=b'\\x9b' + b'\\xff' * 8)); time.sleep(5)"),
    ("bytes of 2**63", "send(call(cbor=b'\\x5b\\x80' + bytes(7))); time.sleep(5)"),
    ("a map of 2**32 entries", "send(call(cbor=b'\\xbb\\x00\\x00\\x00\\x01' + bytes(4))); time.sleep(5)"),
    ("text that is no UTF-8", "send(call(cbor=b'\\x62\\xff\\xfe')); time.sleep(5)"),
    ("a huge int", "send(call(cbor=b'\\xc2\\x5a\\x00\\x10\\x00\\x00' + b'\\xff' * (1 << 20))); time.sleep(5)"),
    ("an unknown tag", "send(call(cbor=b'\\xda\\x12\\x34\\x56\\x78\\x80')); time.sleep(5)"),
    ("a kind that there is not", "send(call(cbor=b'\\xd8\\x1b\\x82\\x69os.system\\x00')); time.sleep(5)"),
    ("a reference to nothing", "send(call(cbor=b'\\x81\\xd8\\x1d\\x05')); time.sleep(5)"),
    ("a cycle", "send(call(cbor=b'\\xd8\\x1c\\x81\\xd8\\x1d\\x00')); time.sleep(5)"),
    ("ten million small items", "send(call(cbor=b'\\x9a\\x00\\x98\\x96\\x80' + bytes(10_000_000))); time.sleep(5)"),
    ("a message of the wrong size", "send(call(cbor=b'\\x82\\x80\\x61f')); time.sleep(5)"),
    ("a name that is no text", "send(call(cbor=b'\\x84\\x80\\x01\\x80\\xa0')); time.sleep(5)"),
    ("keywords that are no dict", "send(call(cbor=b'\\x84\\x80\\x61f\\x80\\x80')); time.sleep(5)"),
    ("arguments that are no list", "send(call(cbor=b'\\x84\\x80\\x61f\\x01\\xa0')); time.sleep(5)"),
    ("keywords that are no text", "send(call(cbor=b'\\x84\\x80\\x61f\\x80\\xa1\\x01\\x02')); time.sleep(5)"),
    ("a view whose number is text", "send(call(cbor=b'\\x84\\x80\\x61f\\x81\\xd8\\x1b\\x83\\x64view\\x61x\\x60\\xa0')); time.sleep(5)"),
    ("a view without a name", "send(call(cbor=b'\\x84\\x80\\x61f\\x81\\xd8\\x1b\\x82\\x64view\\x01\\xa0')); time.sleep(5)"),
    ("a view with a long name", "send(call(cbor=b'\\x84\\x80\\x61f\\x81\\xd8\\x1b\\x83\\x64view\\x01\\x79\\x01\\x01' + b'x' * 257 + b'\\xa0')); "
     "time.sleep(5)"),
    ("a shared view", "send(call(cbor=b'\\x84\\x80\\x61f\\x81\\xd8\\x1c\\xd8\\x1b\\x83\\x64view\\x01\\x60\\xa0')); time.sleep(5)"),
    ("host objects given back that were never had", "send(call(cbor=b'\\x84\\x82\\x05\\x01\\x61f\\x80\\xa0')); time.sleep(5)"),
    ("a result of rubbish", "send(frame(64, b'\\xff' * 100)); time.sleep(5)"),
    ("a result that is too short", "send(frame(64, b'')); time.sleep(5)"),
    ("zeros", "send(bytes(1 << 16)); time.sleep(5)"),
    ("ones", "send(b'\\xff' * (1 << 16)); time.sleep(5)"),
    ("two threads at once", "t = [threading.Thread(target=lambda: [os.write(3, call()[:7]) for _ in range(2000)]) for _ in range(2)]\n"
     "[x.start() for x in t]; [x.join() for x in t]; time.sleep(5)"),
    ("the channel closed", "os.close(3); time.sleep(5)"),
    ("half a message, and the channel closed", "send(frame(65, b'abc', 100)); os.close(3); time.sleep(5)"),
]  # fmt: skip


def resident():
    """What this process holds: libc keeps some of what was given back, and how much depends on what ran here before."""
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def template():
    with Template(Policy(timeout=3), python=PYTHON) as template:
        yield template


@pytest.fixture(scope="module")
def other(template):
    """Another sandbox, that must be served all the time."""
    with Sandbox(template=template) as other:
        other.expose(lambda x: x + 1, "add")
        yield other


@core
@pytest.mark.parametrize(("what", "code"), WRONG, ids=[row[0] for row in WRONG])
def test_a_guest_that_breaks_the_protocol_is_one_error(template, other, what, code):
    with Sandbox(template=template) as sandbox:
        sandbox.expose(lambda *rest: None, "f")
        sandbox.run_code(SPEAK)
        before, began = resident(), time.process_time()  # ours alone: the machine may have other work
        with pytest.raises(ProtocolError) as caught:
            sandbox.run_code(code)  # neither at its limit nor by its own end
        assert time.process_time() - began < 2.5
        assert resident() - before < 16 << 20
        assert "was ended" in str(caught.value) and len(str(caught.value)) < 500
        with pytest.raises(SessionEnded, match="was ended"):
            sandbox.run_code("1")
    began = time.process_time()
    assert other.run_code("add(1)").value == 2
    assert time.process_time() - began < 1


QUIET = [
    ("half a header", "send(b'\\x01\\x02\\x03'); time.sleep(20)"),
    ("half a call", "send(frame(65, b'abc', 100)); time.sleep(20)"),
    ("64 MiB announced", "send(frame(65, b'abc', 64 << 20)); time.sleep(20)"),
    ("byte by byte", "for b in call(): os.write(3, bytes([b])); time.sleep(0.3)"),
    ("calls without reading the answers", "m = b'\\x84\\x80\\x63big\\x80\\xa0'\nfor n in range(1, 20000): send(call(n, 1, m))\ntime.sleep(20)"),
]  # fmt: skip


@core
@pytest.mark.parametrize(("what", "code"), QUIET, ids=[row[0] for row in QUIET])
def test_a_guest_that_is_slow_or_does_not_listen_ends_at_its_limit(template, other, what, code):
    with Sandbox(Policy(timeout=0.8), python=PYTHON) as sandbox:
        sandbox.expose(lambda: "x" * 100_000, "big")
        sandbox.run_code(SPEAK + "\nimport signal; signal.signal(signal.SIGINT, signal.SIG_IGN)")  # else it ends what it began
        before, began = resident(), time.monotonic()
        try:
            ex = sandbox.run_code(code)
        except ProtocolError:
            assert what == "byte by byte"  # at its end it is a call that there is not
            return
        assert ex.verdict == "timeout" and time.monotonic() - began < 4
        assert resident() - before < 24 << 20
    assert other.run_code("add(1)").value == 2


def test_a_flood_of_calls_is_served_until_the_limit_and_keeps_nothing(template):
    with Sandbox(template=template) as sandbox:
        sandbox.expose(lambda: 0, "f")
        sandbox.run_code(SPEAK)
        before = resident()
        code = "m = b'\\x84\\x80\\x61f\\x80\\xa0'\nfor n in range(1, 5001):\n  send(call(n, 1, m))\n  os.read(3, 4096)\n'done'"
        assert sandbox.run_code(code).value == "done"
        assert resident() - before < 16 << 20


ANSWERS = [
    ("get", "sandbox['x']", "b'\\x01'"), ("get", "sandbox['x']", "b'\\x80'"), ("get", "sandbox['x']", "b'\\xff'"),
    ("names", "list(sandbox)", "b'\\x81\\x81\\x01'"), ("has", "'x' in sandbox", "b''"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "use", "cbor"), ANSWERS)
def test_an_answer_that_is_none_is_one_error(template, what, use, cbor):
    """The guest sends a result of its own for the command that comes next."""
    with Sandbox(template=template) as sandbox:
        sandbox.run_code(SPEAK)
        sandbox.run_code(
            f"import sys\nsession = sys._getframe(1).f_globals['_session']\nsession.perform_command = lambda policy, code: (0, 0, 0, (b'', b'', b'', b'', {cbor}))"
        )
        with pytest.raises(SandboxError) as caught:
            eval(use, {"sandbox": sandbox})
        assert isinstance(caught.value, ProtocolError)
        with pytest.raises(SessionEnded):
            sandbox.run_code("1")


def test_a_second_result_belongs_to_nobody(template, other):
    """A result that nobody waits for is read as the next run's: wrong for that session, harmless for all others."""
    with Sandbox(template=template) as sandbox:
        sandbox.run_code(SPEAK)
        ex = sandbox.run_code("send(result(b'\\x01') + result(b'\\x02')); 3")
        assert ex.value == 1
        assert sandbox.run_code("4").value in (2, 3, 4)
    assert other.run_code("add(1)").value == 2


def test_values_that_are_no_values_are_an_error_of_their_reading(template):
    for cbor in ("b'\\xff'", "b'\\x81' * 1000 + b'\\x00'", "b'\\x9b' + b'\\xff' * 8", "b'\\xd8\\x1b\\x82\\x62os\\x00'"):
        with Sandbox(template=template) as sandbox:
            sandbox.run_code(SPEAK)
            ex = sandbox.run_code(f"send(result({cbor}))")
            with pytest.raises(SandboxError, match="cannot be read"):
                ex.value


def test_nothing_is_kept_of_sandboxes_that_were_ended(template):
    def one():
        with Sandbox(template=template) as sandbox:
            sandbox["x"] = belljar.readonly([1])
            sandbox.run_code(SPEAK)
            with pytest.raises(ProtocolError):
                sandbox.run_code("send(frame(1000)); time.sleep(5)")

    for _ in range(3):
        one()
    gc.collect()
    descriptors, before = len(os.listdir("/proc/self/fd")), resident()
    for _ in range(20):
        one()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 10  # guests are parked meanwhile, with four each
    assert resident() - before < 16 << 20
