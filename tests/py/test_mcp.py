"""`belljar mcp` by raw lines: both eras, every method, every tool, and what clients should not send. Programs that others wrote
speak to it in tests/clients."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import queue
import signal
import socket
import subprocess
import threading
import time

import pytest

BUILD = pathlib.Path(os.environ.get("BELLJAR_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
COMMAND = str(BUILD / "belljar")
PATIENCE = 60
"""Seconds until an answer is missed."""

core = pytest.mark.core

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META = {VERSION: "2026-07-28", CAPABILITIES: {}}


class Server:
    """One process, and the answers that it has given, by their ids."""

    def __init__(self, *options, era="legacy", stdout=subprocess.PIPE):
        self.process = subprocess.Popen([COMMAND, "mcp", *options], stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE)
        self.era = era
        self.lines: queue.Queue[bytes] = queue.Queue()
        self.answers: dict[object, dict] = {}
        self.others: list[dict] = []
        self.count = 0
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._drain, daemon=True).start()
        self.stderr = b""
        if era == "legacy":
            self.ask(
                "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
            )
            self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def _read(self):
        for line in self.process.stdout or ():
            self.lines.put(line)
        self.lines.put(b"")

    def _drain(self):
        for line in self.process.stderr:
            self.stderr += line

    def raw(self, data: bytes):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, message):
        self.raw(json.dumps(message).encode() + b"\n")

    def start(self, method, params=None, id=None):
        """Sends a request; its id."""
        self.count += 1
        id = self.count if id is None else id
        params = dict(params or {})
        if self.era == "modern":
            params["_meta"] = {**META, **params.get("_meta", {})}
        self.send({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        return id

    def next(self):
        """The next message, whatever it is."""
        line = self.lines.get(timeout=PATIENCE)
        assert line, f"it has ended: {self.stderr.decode()}"
        assert line.endswith(b"\n")
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        return message

    def wait(self, id):
        """The answer to a request."""
        while id not in self.answers:
            message = self.next()
            if "id" in message and "method" not in message:
                self.answers[message["id"]] = message
            else:
                self.others.append(message)
        return self.answers.pop(id)

    def ask(self, method, params=None):
        return self.wait(self.start(method, params))

    def call(self, name, **arguments):
        answer = self.ask("tools/call", {"name": name, "arguments": arguments})
        assert "result" in answer, answer
        return answer["result"]

    def run(self, code, **arguments):
        return self.call("run_python_code", python_code=code, **arguments)

    def session(self):
        return self.call("create_session")["structuredContent"]["session"]

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        return self.process.wait(timeout=PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def server():
    with Server() as made:
        yield made


def text_of(result):
    return result["content"][0]["text"]


# ---- Two eras ----------------------------------------------------------------------------------------------------------------------


@core
@pytest.mark.parametrize(
    ("asked", "answered"),
    [("2024-11-05", "2024-11-05"), ("2025-03-26", "2025-03-26"), ("2025-06-18", "2025-06-18"), ("2025-11-25", "2025-11-25"),
     ("1999-01-01", "2025-11-25"), ("2026-07-28", "2025-11-25")],
)  # fmt: skip
def test_initialize_agrees_on_a_revision(asked, answered):
    with Server(era="none") as server:
        result = server.ask("initialize", {"protocolVersion": asked, "capabilities": {}})["result"]
        assert result["protocolVersion"] == answered
        assert result["serverInfo"]["name"] == "belljar" and "tools" in result["capabilities"]
        assert "_meta" not in result and "resultType" not in result
        assert server.ask("ping")["result"] == {}


def test_a_legacy_connection_has_no_method_of_the_modern_era():
    with Server() as server:
        assert server.ask("server/discover")["error"]["code"] == -32601  # the signal to fall back
        modern = {"_meta": META}
        assert server.ask("tools/list", modern)["error"]["code"] == -32600
        assert "tools" in server.ask("tools/list")["result"]


@core
def test_discover_opens_a_modern_connection():
    with Server(era="modern") as server:
        result = server.ask("server/discover")["result"]
        assert result["resultType"] == "complete" and result["supportedVersions"] == ["2026-07-28"]
        assert "tools" in result["capabilities"] and result["ttlMs"] >= 0 and result["cacheScope"] in ("public", "private")
        assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "belljar"
        listed = server.ask("tools/list")["result"]
        assert listed["resultType"] == "complete" and listed["ttlMs"] >= 0 and listed["cacheScope"] == "private"
        result = server.run("6 * 7")
        assert result["resultType"] == "complete" and result["structuredContent"]["return_value"] == 42


def test_a_modern_connection_refuses_what_was_removed():
    with Server(era="modern") as server:
        server.ask("server/discover")
        assert server.ask("ping")["error"]["code"] == -32601
        for method in ("logging/setLevel", "subscriptions/listen", "prompts/list", "completion/complete"):
            assert server.ask(method)["error"]["code"] == -32601
        error = server.ask("initialize", {"protocolVersion": "2025-11-25"})["error"]
        assert error["code"] == -32022 and error["data"] == {"supported": ["2026-07-28"], "requested": "2025-11-25"}
        assert server.run("1")["structuredContent"]["return_value"] == 1


def test_an_unknown_revision_decides_nothing():
    with Server(era="none") as server:
        error = server.ask("server/discover", {"_meta": {VERSION: "2031-01-01", CAPABILITIES: {}}})["error"]
        assert error["code"] == -32022 and error["data"] == {"supported": ["2026-07-28"], "requested": "2031-01-01"}
        assert server.ask("initialize", {"protocolVersion": "2025-11-25"})["result"]["protocolVersion"] == "2025-11-25"


@pytest.mark.parametrize(
    ("meta", "missing"),
    [({CAPABILITIES: {}}, VERSION), ({VERSION: "2026-07-28"}, CAPABILITIES), ({VERSION: 1, CAPABILITIES: {}}, VERSION),
     ({VERSION: "2026-07-28", CAPABILITIES: []}, CAPABILITIES)],
)  # fmt: skip
def test_what_modern_meta_lacks_is_named(meta, missing):
    with Server(era="none") as server:
        error = server.ask("tools/list", {"_meta": meta})["error"]
        assert error["code"] == -32602 and missing in error["message"]


def test_a_modern_request_without_meta_is_refused():
    with Server(era="modern") as server:
        server.ask("server/discover")
        server.era = "none"
        assert server.ask("tools/list")["error"]["code"] == -32602


# ---- Bad input -------------------------------------------------------------------------------------------------------------------

BAD = [
    # line, id of the answer, code
    (b"{", None, -32700),
    (b"nonsense", None, -32700),
    (b"\xff\xfe{}", None, -32700),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "ping"} trailing', None, -32700),
    (b'"text"', None, -32600),
    (b"null", None, -32600),
    (b"17", None, -32600),
    (b"[]", None, -32600),
    (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', None, -32600),
    (b"{}", None, -32600),
    (b'{"jsonrpc": "1.0", "id": 7, "method": "ping"}', 7, -32600),
    (b'{"id": 7, "method": "ping"}', 7, -32600),
    (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', None, -32600),
    (b'{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}', None, -32600),
    (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', None, -32600),
    (b'{"jsonrpc": "2.0", "id": {}, "method": "ping"}', None, -32600),
    (b'{"jsonrpc": "2.0", "id": 99999999999999999999, "method": "ping"}', None, -32700),
    (b'{"jsonrpc": "2.0", "id": 7}', 7, -32600),
    (b'{"jsonrpc": "2.0", "id": 7, "method": 1}', 7, -32600),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": [1]}', 7, -32602),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": "x"}', 7, -32602),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "none/such"}', 7, -32601),
    (b'{"jsonrpc": "2.0", "id": "a", "method": ""}', "a", -32601),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call"}', 7, -32602),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": 1}}', 7, -32602),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "rm"}}', 7, -32602),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "list_packages", "arguments": []}}', 7, -32602),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {"cursor": "x"}}', 7, -32602),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "resources/read"}', 7, -32602),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "resources/read", "params": {"uri": "belljar://output/9/x"}}', 7, -32002),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {"protocolVersion": 1}}', 7, -32602),
    (b'{"a":' * 5000 + b"1" + b"}" * 5000, None, -32700),
    (b"[" * 100_000, None, -32700),
]


@core
def test_bad_input_has_its_code_and_the_next_request_is_served(server):
    for line, id, code in BAD:
        server.raw(line + b"\n")
        answer = server.next()
        assert (answer["id"], answer["error"]["code"]) == (id, code), line[:100]
        assert server.ask("ping")["result"] == {}


def test_nothing_answers_what_wants_no_answer(server):
    for message in (
        {"method": "notifications/initialized"},
        {"method": "none/such"},
        {"method": "tools/call", "params": {"name": "run_python_code", "arguments": {"code": "1"}}},
        {"method": "notifications/cancelled"},
        {"method": "notifications/cancelled", "params": {"requestId": 4711}},
        {"method": "notifications/cancelled", "params": {"requestId": None}},
        {"method": "notifications/cancelled", "params": []},
        {"id": 5, "result": {}},
        {"id": 5, "error": {"code": 1, "message": "x"}},
    ):
        server.send({"jsonrpc": "2.0", **message})
    server.raw(b"\n   \n\r\n")
    assert server.ask("ping")["result"] == {}
    assert not server.others and not server.answers


def test_lines_may_end_in_crlf_and_come_in_pieces(server):
    line = b'{"jsonrpc": "2.0", "id": "crlf", "method": "ping"}\r\n'
    for i in range(len(line)):
        server.raw(line[i : i + 1])
    assert server.wait("crlf")["result"] == {}


def test_a_line_over_the_limit_is_refused_and_the_next_one_served(server):
    block = b"x" * (1 << 20)
    for _ in range(65):
        server.raw(block)
    server.raw(b"\n")
    answer = server.next()
    assert answer["id"] is None and answer["error"]["code"] == -32600 and "67108864" in answer["error"]["message"]
    assert server.ask("ping")["result"] == {}


def test_a_large_line_below_the_limit_is_served(server):
    result = server.run(f"len({'x' * (20 << 20)!r})")
    assert result["structuredContent"]["return_value"] == 20 << 20


def test_an_id_in_use_is_refused(server):
    first = server.start("tools/call", {"name": "run_python_code", "arguments": {"code": "import time; time.sleep(1)"}}, id="twice")
    server.start("ping", id="twice")
    answer = server.next()
    assert answer["id"] == "twice" and answer["error"]["code"] == -32600
    assert server.wait(first)["result"]["isError"] is False


def test_a_thousand_requests_at_once():
    with Server() as server:
        ids = [server.start("tools/call", {"name": "run_python_code", "arguments": {"code": str(i)}}) for i in range(1000)]
        values = [server.wait(id)["result"]["structuredContent"]["return_value"] for id in ids]
        assert values == list(range(1000))


def test_more_requests_than_may_wait_are_told_so():
    with Server("--jobs", "1") as server:
        sender = threading.Thread(target=lambda: [
            server.start("tools/call", {"name": "run_python_code", "arguments": {"code": "import time; time.sleep(0.5)"}})
            for _ in range(4200)])  # fmt: skip
        sender.start()
        answer = server.next()
        while "result" in answer:
            answer = server.next()
        assert answer["error"]["code"] == -32000
        sender.join()
        assert server.ask("ping")["result"] == {}


ARGUMENTS = [
    ("run_python_code", {}, "wants the argument python_code"),
    ("run_python_code", {"python_code": 1}, "python_code must be a string"),
    ("run_python_code", {"pyton_code": "1"}, "did you mean python_code?"),
    ("run_python_code", {"code": "1", "timeout": "3"}, "timeout must be a number"),
    ("run_python_code", {"code": "1", "timeout": 0}, "timeout must be more than 0"),
    ("run_python_code", {"code": "1", "timeout": 10_000}, "more than the 30 s"),
    ("run_python_code", {"code": "1", "files": []}, "files must be an object"),
    ("run_python_code", {"code": "1", "files": {"a": 1}}, "must be text or"),
    ("run_python_code", {"code": "1", "files": {"a": {"base64": "!"}}}, "must be text or"),
    ("run_python_code", {"code": "1", "files": {"/etc/passwd": "x"}}, "files: the file handed in as /etc/passwd cannot be written"),
    ("run_python_code", {"code": "1", "global_variables": {"not a name": 1}}, "not a name"),
    ("run_python_code", {"code": "1", "session": "s_none"}, "There is no session s_none"),
    ("run_python_code", {"code": "1", "session": "s_\0"}, "zero byte"),
    ("create_session", {"x": 1}, "has no argument x"),
    ("end_session", {}, "wants the argument session"),
    ("end_session", {"session": "s_none"}, "There is no session"),
    ("fork_session", {"session": "s_none", "count": 9}, "count must be at most 8"),
    ("fork_session", {"session": "s_none", "count": 0}, "count must be at least 1"),
    ("fork_session", {"session": "s_none", "count": 1.5}, "count must be an integer"),
    ("list_packages", {"match": None}, "match must be a string"),
]


@pytest.mark.parametrize(("tool", "arguments", "words"), ARGUMENTS)
def test_wrong_arguments_are_a_result_that_says_what_to_mend(server, tool, arguments, words):
    result = server.call(tool, **arguments)
    assert result["isError"] is True and words in text_of(result)


# ---- Runs --------------------------------------------------------------------------------------------------------------------------


def check_schema(value, schema, path="$"):
    """The part of JSON Schema that ours use."""
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    kind = schema.get("type")
    if kind:
        assert isinstance(value, kinds[kind]) and not (kind in ("integer", "number") and isinstance(value, bool)), path
    assert value in schema.get("enum", [value]), path
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= set(value), path
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is False:
            assert set(value) <= set(properties), path
        for key, item in value.items():
            check_schema(item, properties.get(key, {}), f"{path}.{key}")
    for i, item in enumerate(value if isinstance(value, list) else ()):
        check_schema(item, schema.get("items", {}), f"{path}[{i}]")


@core
def test_every_tool_is_listed_with_its_schemas(server):
    tools = server.ask("tools/list")["result"]["tools"]
    assert [tool["name"] for tool in tools] == [
        "run_python_code", "create_session", "end_session", "fork_session", "reset_session", "interrupt", "write_file",
        "read_file", "list_files", "list_packages"]  # fmt: skip
    for tool in tools:
        assert tool["inputSchema"]["type"] == tool["outputSchema"]["type"] == "object"
        assert tool["description"] and tool["annotations"]["openWorldHint"] is False
    assert server.ask("tools/list")["result"]["tools"] == tools


def test_the_description_is_made_from_the_policy():
    with Server("--read", "/usr/share", "--memory", "256M", "--timeout", "7", "--sessions", "3") as server:
        text = server.ask("tools/list")["result"]["tools"][0]["description"]
    for words in ("/usr/share", "256 MiB of memory", "7 s of time", "at most 3 sessions", "No network"):
        assert words in text
    with Server("--feature", "stdout,math") as server:
        text = server.ask("tools/list")["result"]["tools"][0]["description"]
        assert "Features: " in text and "Only a part of the language" in text
        assert server.run("print(6 * 7)")["structuredContent"]["output"] == ["42"]
        assert server.run("import os")["isError"]
        session = server.session()
        server.run("x = 3", session=session)
        assert server.run("x + y", session=session, global_variables={"y": 4})["structuredContent"]["return_value"] == 7
        fork = server.call("fork_session", session=session)
        if not fork["isError"]:
            assert server.run("x", session=fork["structuredContent"]["session"])["structuredContent"]["return_value"] == 3


@core
def test_a_run_is_text_and_structure(server):
    result = server.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\n{'a': [1, 2.5, None, True], 'b': (3,)}")
    assert text_of(result).splitlines() == ["out", "{'a': [1, 2.5, None, True], 'b': (3,)}", "err"]
    form = result["structuredContent"]
    assert form["status"] == "success" and form["verdict"] == "ok" and form["output"] == ["out", "err"]
    assert form["return_value"] == {"a": [1, 2.5, None, True], "b": [3]} and not result["isError"]
    assert json.loads(result["content"][-1]["text"]) == form  # for old clients


VALUES = [
    ("2 ** 63 - 1", 2**63 - 1),
    ("-2 ** 63", -(2**63)),
    ("2 ** 64 - 1", "18446744073709551615"),
    ("2 ** 70", str(2**70)),
    ("-2 ** 64", str(-(2**64))),
    ("-2 ** 1000 + 1", str(-(2**1000) + 1)),
    ("-(1 << 1024) + 0", str(-(2**1024))),
    ("[1 << 2000]", [None]),
    ("b'\\0\\1'", {"base64": "AAE="}),
    ("{3, 3}", [3]),
    ("{1: 2, (3, 4): 5}", {"1": 2, "[3,4]": 5}),
    ("__import__('datetime').date(2024, 2, 29)", "2024-02-29"),
    ("__import__('datetime').datetime(1999, 12, 31, 23, 59, 58, 7)", "1999-12-31T23:59:58.000007"),
    ("__import__('decimal').Decimal('1.10')", "1.10"),
    ("__import__('uuid').UUID(int=1)", "00000000-0000-0000-0000-000000000001"),
    ("__import__('fractions').Fraction(1, 3)", [1, 3]),
    ("float('nan')", "nan"),
    ("[float('inf'), 1.5]", [None, 1.5]),
    ("'a\\nb\\0c'", "a\nb\0c"),
    ("None", None),
    ("[[[]]]", [[[]]]),
]


@pytest.mark.parametrize(("code", "value"), VALUES, ids=[code[:30] for code, _ in VALUES])
def test_values_become_json(server, code, value):
    assert server.run(code)["structuredContent"]["return_value"] == value


@pytest.mark.parametrize(
    "number", ["0.1", "3.141592653589793", "0.30000000000000004", "40.415426", "1e-05", "1.7976931348623157e+308", "5e-324"]
)
def test_numbers_have_the_digits_that_they_need(server, number):
    result = server.run(number)
    assert result["structuredContent"]["return_value"] == float(number)
    if "e" not in number:
        assert f'"return_value":{number},' in result["content"][-1]["text"]


def test_a_value_nested_without_end_is_its_repr(server):
    assert server.run("x = []\nfor _ in range(150): x = [x]\nx")["structuredContent"]["return_value"].startswith("[[[[")
    assert server.run("x = []; x.append(x); x")["structuredContent"]["return_value"] is not None
    assert isinstance(server.run("['x' * 1000] * 1000")["structuredContent"]["return_value"], str)  # too large


def test_keys_within_keys_do_not_grow_without_end(server):
    """Each is quoted in the next: sixty of them would be text of 2 to the power of 60 bytes."""
    code = """
import os, struct
value = b'\\x01'
for _ in range(60): value = b'\\xa1' + value + b'\\x01'
fields = [b'', b'', b'', b'text', value]
payload = struct.pack('<III', 0, 0, 0) + b''.join(struct.pack('<I', len(f)) + f for f in fields) + struct.pack('<I', 0)
os.write(3, struct.pack('<II', len(payload), 64) + payload)
import time; time.sleep(5)
"""
    start = time.monotonic()
    result = server.run(code, timeout=20)
    assert result["structuredContent"]["return_value"] == "text"
    assert time.monotonic() - start < 15
    assert server.ask("ping")["result"] == {}


def test_all_structured_content_fits_its_schema(server):
    schemas = {tool["name"]: tool["outputSchema"] for tool in server.ask("tools/list")["result"]["tools"]}
    session = server.session()
    for name, arguments in [
        ("run_python_code", {"code": "print(1); 2"}),
        ("run_python_code", {"code": "1 / 0"}),
        ("run_python_code", {"code": "open('/etc/shadow')"}),
        ("run_python_code", {"code": "while True: pass", "timeout": 0.2}),
        ("run_python_code", {"code": "import os; os._exit(3)"}),
        ("run_python_code", {"code": "x = 1", "session": session}),
        ("write_file", {"session": session, "path": "a", "text": "x"}),
        ("read_file", {"session": session, "path": "a"}),
        ("list_files", {"session": session}),
        ("list_packages", {}),
        ("fork_session", {"session": session}),
        ("interrupt", {"session": session}),
        ("reset_session", {"session": session}),
        ("create_session", {}),
        ("end_session", {"session": session}),
    ]:
        result = server.call(name, **arguments)
        if name == "fork_session" and result["isError"]:
            assert "user namespaces" in text_of(result)
            continue
        check_schema(result["structuredContent"], schemas[name])


ERRORS = [
    ("1 / 0", "error", ["ZeroDivisionError", "line 1"]),
    ("def f(:", "error", ["SyntaxError"]),
    ("import pandsa", "error", ["No module named 'pandsa'", "Nothing can be installed"]),
    ("import jsn", "error", ["Something like it is installed: json"]),
    ("open('/etc/shadow')", "violation", ["Refused by the sandbox: openat /etc/shadow (rule: read)", "--read /etc/shadow"]),
    ("import socket; socket.socket()", "violation", ["rule: network", "Have the data handed in"]),
    ("import os; os.fork()", "violation", ["rule: processes"]),
    ("x = 'a' * (1 << 40)", "memory", ["MemoryError"]),
    ("import os; os.kill(os.getpid(), 11)", None, []),
    ("import sys; sys.exit(3)", "error", []),
    ("input()", "error", ["EOFError"]),
    ("code = 'a\0b'; exec(code)", "error", ["null bytes"]),
]


@pytest.mark.parametrize(("code", "verdict", "words"), ERRORS)
def test_a_failed_program_is_a_result_that_says_why(server, code, verdict, words):
    result = server.run(code)
    assert result["isError"] is True and result["structuredContent"]["status"] == "run-error"
    assert verdict in (None, result["structuredContent"]["verdict"])
    for word in words:
        assert word in text_of(result)


def test_a_time_limit_is_a_verdict(server):
    result = server.run("print('before', flush=True)\nwhile True: pass", timeout=0.3)
    assert result["structuredContent"]["verdict"] == "timeout" and result["structuredContent"]["output"] == ["before"]
    assert "time limit" in text_of(result)


def test_variables_and_files_go_in(server):
    result = server.run("a + len(b), open('d/x.txt').read(), open('/tmp/y', 'rb').read()", global_variables={"a": 1, "b": [1, "ü"]},
                        files={"d/x.txt": "ß", "/tmp/y": {"base64": base64.b64encode(b"\0\xff").decode()}})  # fmt: skip
    assert result["structuredContent"]["return_value"] == [3, "ß", {"base64": "AP8="}]


def test_what_guests_print_is_never_on_stdout_as_it_is(server):
    result = server.run('import os\nos.write(1, b\'{"jsonrpc": "2.0", "id": 1, "result": {}}\\n\')\nos.write(2, b"\\xff\\n")')
    assert '"jsonrpc"' in result["structuredContent"]["output"][0]
    assert result["structuredContent"]["output"][1] == "\ufffd"


@pytest.mark.parametrize("text", ["1 / 0", "raise ValueError('of two\\nlines')"], ids=["a line", "two lines"])
def test_what_a_warm_text_raises_is_said_once(tmp_path, text):
    (tmp_path / "policy.json").write_text(json.dumps({"warm": text}))
    complains = "import sys\nprint('first')\nprint('own words', file=sys.stderr)"
    answers, told, until = [], [], time.monotonic() + PATIENCE
    with Server("--policy", str(tmp_path / "policy.json")) as made:
        while not told and time.monotonic() < until:  # a guest that is wanted at once is not warmed
            told = [answer for answer in [made.run(complains)] if "the text of warm=" in text_of(answer)]
            time.sleep(0.3)
        assert told and "; its guests go on" in text_of(told[0])
        for _ in range(4):
            answers.append(made.run(complains))
            time.sleep(0.3)
        session = made.session()
        answers += [made.run(complains, session=session) for _ in range(2)]
    for answer in answers:
        assert text_of(answer) == "first\nown words\n" and answer["structuredContent"]["output"] == ["first", "own words"]


def test_without_a_warm_text_a_programs_own_words_are_its_own(server):
    words = "belljar: the text of warm= is mine; its guests go on without the rest of it\n"
    for _ in range(2):
        answer = server.run(f"import sys\n_ = sys.stderr.write({words!r})")
        assert text_of(answer) == words


def test_output_that_is_too_long_is_a_resource(server):
    result = server.run("for i in range(20000): print(i)")
    assert len(text_of(result)) < 40_000 and result["structuredContent"]["truncated"] is True
    links = [block for block in result["content"] if block["type"] == "resource_link"]
    assert len(links) == 1 and links[0]["uri"] in text_of(result)
    contents = server.ask("resources/read", {"uri": links[0]["uri"]})["result"]["contents"]
    assert contents[0]["text"] == "".join(f"{i}\n" for i in range(20000))
    listed = server.ask("resources/list")["result"]["resources"]
    assert links[0]["uri"] in [resource["uri"] for resource in listed]
    assert server.ask("resources/templates/list")["result"] == {"resourceTemplates": []}


def test_old_outputs_are_forgotten(server):
    first = server.run("print('x' * 50000)")
    uri = next(block["uri"] for block in first["content"] if block["type"] == "resource_link")
    for _ in range(32):
        server.run("print('y' * 50000)")
    assert server.ask("resources/read", {"uri": uri})["error"]["code"] == -32002
    assert len(server.ask("resources/list")["result"]["resources"]) == 32


def test_old_clients_are_sent_no_links():
    with Server(era="none") as server:
        server.ask("initialize", {"protocolVersion": "2024-11-05"})
        assert {block["type"] for block in server.run("print('x' * 50000)")["content"]} == {"text"}


def test_figures_are_images(server):
    pytest.importorskip("matplotlib")
    result = server.run("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nplt.plot([3])\n'done'")
    images = [block for block in result["content"] if block["type"] == "image"]
    assert len(images) == 2 and all(image["mimeType"] == "image/png" for image in images)
    assert base64.b64decode(images[0]["data"]).startswith(b"\x89PNG\r\n\x1a\n")
    assert result["structuredContent"]["return_value"] == "done"


def test_a_figure_that_was_shown_survives_the_time_limit(server):
    code = "class P:\n  def _repr_png_(self): return b'\\x89PNG\\r\\n\\x1a\\n' + bytes(20)\ndisplay(P())\nwhile True: pass"
    result = server.run(code, timeout=0.5)
    assert result["structuredContent"]["verdict"] == "timeout"
    assert [block["type"] for block in result["content"]][:2] == ["text", "image"]


def test_what_says_that_it_is_an_image_and_is_none_is_not_sent_as_one(server):
    result = server.run("class P:\n  def _repr_png_(self): return b'<script>'\nP()")
    assert "image" not in {block["type"] for block in result["content"]}


def test_tables_are_markdown_and_rows(server):
    pytest.importorskip("pandas")
    result = server.run("import pandas as pd\npd.DataFrame({'n': [1, 2], 'x': [0.5, float('nan')], 's': ['a|b', 'NaN']})")
    assert "| n | x | s |\n| --- | --- | --- |\n| 1 | 0.5 | a\\|b |\n| 2 |  | NaN |" in text_of(result)
    form = result["structuredContent"]
    assert form["tables"] == [{"columns": ["n", "x", "s"], "rows": [[1, 0.5, "a|b"], [2, None, "NaN"]], "row_count": 2}]
    assert form["return_value"] == [{"n": 1, "x": 0.5, "s": "a|b"}, {"n": 2, "x": None, "s": "NaN"}]
    many = server.run("import pandas as pd\npd.DataFrame({'n': range(5000)})")
    assert many["structuredContent"]["tables"][0]["row_count"] == 5000
    assert len(many["structuredContent"]["tables"][0]["rows"]) == 1000 and "(5000 rows" in text_of(many)


HOSTILE = [
    "import os; os.write(3, b'\\xff' * 64)",
    "import os, struct; os.write(3, struct.pack('<IIIII', 12, 65, 1, 3, 0))",
    "import os, struct; os.write(3, struct.pack('<IIIII', 16, 65, 1, 3, 4) + b'\\x82\\x80\\x81\\x82')",
    "import os, struct; os.write(3, struct.pack('<IIIII', 17, 65, 1, 3, 5) + b'\\x82\\x80\\x9a\\xff\\xff')",
    "import os, struct; os.write(3, struct.pack('<IIIII', 13, 65, 1, 1, 1) + b'\\x80')",
    "import os; os.close(3)",
]


@pytest.mark.parametrize("code", HOSTILE)
def test_a_guest_that_breaks_its_protocol_ends_alone(server, code):
    result = server.run(code + "\nwhile True: pass", timeout=5)
    assert result["structuredContent"]["verdict"] == "violation"
    assert server.run("1")["structuredContent"]["return_value"] == 1


# ---- Sessions ----------------------------------------------------------------------------------------------------------------------


@core
def test_a_session_keeps_names_and_files_and_others_do_not_see_them(server):
    one, two = server.session(), server.session()
    server.run("x = 1; open('f', 'w').write('one')", session=one)
    assert server.run("x, open('f').read()", session=one)["structuredContent"]["return_value"] == [1, "one"]
    assert "NameError" in text_of(server.run("x", session=two))
    assert "NameError" in text_of(server.run("x"))
    assert len(one) > 20 and one != two
    for session in (one, two):
        assert server.call("end_session", session=session)["structuredContent"]["ended"] is True
    result = server.run("x", session=one)
    assert result["isError"] and "ended by end_session" in text_of(result)


def test_a_run_makes_a_session_when_it_is_asked_to(server):
    result = server.run("x = 5", session="new")
    session = result["structuredContent"]["session"]
    assert session in text_of(result)
    assert server.run("x", session=session)["structuredContent"]["return_value"] == 5
    server.call("end_session", session=session)


def test_a_forked_session_goes_on_apart(server):
    session = server.session()
    server.run("import os; x = [1]; os.makedirs('d'); open('d/f', 'w').write('f'); os.symlink('d/f', 'link')", session=session)
    result = server.call("fork_session", session=session, count=2)
    if result["isError"]:
        assert "user namespaces" in text_of(result)
        pytest.skip("sessions cannot be forked here: no user namespaces")
    forks = [item["session"] for item in result["structuredContent"]["sessions"]]
    server.run("x.append(2); open('d/f', 'w').write('changed')", session=forks[0])
    for name, x, text in ((forks[0], [1, 2], "changed"), (forks[1], [1], "f"), (session, [1], "f")):
        got = server.run("x, open('link').read()", session=name)["structuredContent"]["return_value"]
        assert got == [x, text]
    for name in (session, *forks):
        server.call("end_session", session=name)


@pytest.mark.parametrize("end", ["wait", "end_session", "cancel", "SIGTERM"])
def test_a_guest_that_does_not_let_itself_be_forked_holds_up_nobody(end):
    """A server that answers what comes before the fork, and then holds the interpreter's lock."""
    with Server() as server:
        session = server.session()
        probe = server.call("fork_session", session=session)
        if probe["isError"]:
            pytest.skip("sessions cannot be forked here: no user namespaces")
        server.run("import gc, threading, re, time\ndef hog():\n  time.sleep(0.001)\n  re.match(r'(a+)+$', 'a' * 60 + 'b')\n"
                   "gc.collect = lambda *a: threading.Thread(target=hog, daemon=True).start()", session=session)  # fmt: skip
        id = server.start("tools/call", {"name": "fork_session", "arguments": {"session": session, "count": 8}})
        time.sleep(0.3)
        start = time.monotonic()
        assert server.ask("ping")["result"] == {}
        assert server.run("1")["structuredContent"]["return_value"] == 1
        assert time.monotonic() - start < 8 and id not in server.answers
        if end == "SIGTERM":
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(timeout=PATIENCE) == 0
            return
        if end == "end_session":
            assert not server.call("end_session", session=session)["isError"]
        if end == "cancel":
            server.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}})
        else:
            assert server.wait(id)["result"]["isError"]
        assert server.run("1")["structuredContent"]["return_value"] == 1


def test_a_session_that_is_reset_is_empty_under_its_name(server):
    session = server.session()
    server.run("x = 1; open('f', 'w')", session=session)
    assert server.call("reset_session", session=session)["structuredContent"]["session"] == session
    assert "NameError" in text_of(server.run("x", session=session))
    assert server.call("list_files", session=session)["structuredContent"]["files"] == []
    server.call("end_session", session=session)


def test_files_go_in_and_out(server):
    session = server.session()
    png = b"\x89PNG\r\n\x1a\n" + bytes(20)
    assert server.call("write_file", session=session, path="a/b.txt", text="hellö")["structuredContent"] == {
        "path": "a/b.txt",
        "size": 6,
    }
    server.call("write_file", session=session, path="/tmp/p.png", base64=base64.b64encode(png).decode())
    server.call("write_file", session=session, path="raw", base64=base64.b64encode(b"\0\1").decode())
    assert server.call("list_files", session=session)["structuredContent"] == {
        "files": [{"path": "a/b.txt", "size": 6}, {"path": "raw", "size": 2}], "is_whole": True}  # fmt: skip
    assert server.call("list_files", session=session, path="/tmp")["structuredContent"]["files"] == [
        {"path": "/tmp/p.png", "size": 28}
    ]
    assert text_of(server.call("read_file", session=session, path="a/b.txt")) == "hellö"
    image = server.call("read_file", session=session, path="/tmp/p.png")["content"][0]
    assert image["type"] == "image" and base64.b64decode(image["data"]) == png
    block = server.call("read_file", session=session, path="/work/raw")["content"][0]
    assert block["type"] == "resource" and block["resource"]["blob"] == "AAE="
    part = server.call("read_file", session=session, path="a/b.txt", offset=1, length=3)
    assert text_of(part) == "ell" and part["structuredContent"] == {"path": "a/b.txt", "size": 6, "offset": 1, "length": 3}
    server.call("write_file", session=session, path="big", text="x" * (20 << 20))
    assert server.run("len(open('big').read())", session=session)["structuredContent"]["return_value"] == 20 << 20
    server.call("end_session", session=session)


@pytest.mark.parametrize("path", ["/etc/passwd", "../etc/passwd", "/work/../../etc/passwd", "", "/work", "link", "pipe", "d", "none", "d/../../x",
                                  "x" * 5000, "link2/passwd"], ids=lambda path: path[:20])  # fmt: skip
def test_no_path_leads_out_of_a_session(server, path):
    session = server.session()
    server.run(
        "import os; os.symlink('/etc/passwd', 'link'); os.symlink('/etc', 'link2'); os.mkdir('d'); os.mkfifo('pipe')",
        session=session,
    )
    server.run("import os; os.symlink('/etc/passwd', 'link'); os.symlink('/etc', 'link2'); os.mkdir('d')", session=session)
    result = server.call("read_file", session=session, path=path)
    assert result["isError"] is True and "root:" not in json.dumps(result)
    server.call("end_session", session=session)


def test_a_write_that_does_not_fit_is_an_error_and_the_session_stays():
    with Server("--scratch", "1M") as server:
        session = server.session()
        result = server.call("write_file", session=session, path="big", text="x" * (4 << 20))
        assert result["isError"] and "was not written" in text_of(result)
        result = server.call("write_file", session=session, path="/etc/x", text="x")
        assert result["isError"] and "/work" in text_of(result)


def test_sessions_are_counted(server):
    with Server("--sessions", "2") as server:
        names = [server.session(), server.session()]
        for result in (
            server.call("create_session"),
            server.run("1", session="new"),
            server.call("fork_session", session=names[0]),
        ):
            assert result["isError"] and "at most 2" in text_of(result) and any(name in text_of(result) for name in names)
        server.call("end_session", session=names[0])
        assert not server.call("create_session")["isError"]


def test_an_idle_session_ends_and_says_so():
    with Server("--idle", "1") as server:
        session = server.session()
        server.run("x = 1", session=session)
        time.sleep(0.6)
        assert not server.run("x", session=session)["isError"]  # used, so it stays; it has rested meanwhile
        time.sleep(2.5)
        result = server.run("x", session=session)
        assert result["isError"] and "it was not used for 1 s" in text_of(result)


@core
def test_a_session_survives_its_time_limit_and_an_interrupt(server):
    session = server.session()
    server.run("x = 1", session=session)
    result = server.run("while True: pass", session=session, timeout=0.5)
    assert result["structuredContent"]["verdict"] == "timeout" and "The session stays" in text_of(result)
    id = server.start("tools/call", {"name": "run_python_code", "arguments": {"code": "while True: pass", "session": session}})
    until = time.monotonic() + PATIENCE
    while not server.call("interrupt", session=session)["structuredContent"]["interrupted"] and time.monotonic() < until:
        time.sleep(0.05)
    assert "KeyboardInterrupt" in text_of(server.wait(id)["result"])
    assert server.run("x", session=session)["structuredContent"]["return_value"] == 1
    assert server.call("interrupt", session=session)["structuredContent"]["interrupted"] is False
    server.call("end_session", session=session)


def test_code_that_does_not_stop_takes_its_session_with_it(server):
    session = server.session()
    code = "import time\nwhile True:\n  try:\n    time.sleep(5)\n  except BaseException: pass"
    result = server.run(code, session=session, timeout=0.5)
    assert result["structuredContent"]["verdict"] == "timeout" and "is over with this" in text_of(result)
    result = server.run("1", session=session)
    assert result["isError"] and "its last code ended as timeout" in text_of(result)


def test_a_session_that_dies_says_why(server):
    session = server.session()
    result = server.run("import os; os._exit(3)", session=session)
    assert "is over with this" in text_of(result)
    assert "There is no session" in text_of(server.run("1", session=session))


def test_calls_of_one_session_keep_their_order(server):
    session = server.session()
    server.run("import time; seen = []", session=session)
    ids = [server.start("tools/call", {"name": "run_python_code", "arguments": {
        "code": f"time.sleep({0.3 if i == 0 else 0}); seen.append({i})", "session": session}}) for i in range(20)]  # fmt: skip
    for id in ids:
        assert not server.wait(id)["result"]["isError"]
    assert server.run("seen", session=session)["structuredContent"]["return_value"] == list(range(20))
    server.call("end_session", session=session)


@pytest.mark.parametrize("tool", ["end_session", "reset_session"])
def test_a_session_that_is_ended_or_reset_ends_its_code(server, tool):
    session = server.session()
    running = server.start("tools/call", {"name": "run_python_code", "arguments": {"code": "while True: pass", "session": session}})
    waiting = server.start("tools/call", {"name": "run_python_code", "arguments": {"code": "1", "session": session}})
    time.sleep(0.3)
    assert not server.call(tool, session=session)["isError"]
    assert "The run was ended: its session was" in text_of(server.wait(running)["result"])
    result = server.wait(waiting)["result"]
    assert result["isError"] is (tool == "end_session")


# ---- Side by side ------------------------------------------------------------------------------------------------------------------


@core
def test_a_slow_call_holds_up_nothing(server):
    slow = server.start("tools/call", {"name": "run_python_code", "arguments": {"code": "import time; time.sleep(3)"}})
    assert server.ask("ping")["result"] == {}
    assert "tools" in server.ask("tools/list")["result"]
    assert server.run("1")["structuredContent"]["return_value"] == 1
    assert slow not in server.answers
    assert not server.wait(slow)["result"]["isError"]


def test_a_cancelled_call_is_not_answered_and_its_session_stays(server):
    session = server.session()
    server.run("x = 1", session=session)
    for arguments in ({"code": "while True: pass", "session": session}, {"code": "while True: pass"}):
        id = server.start("tools/call", {"name": "run_python_code", "arguments": arguments})
        time.sleep(0.3)
        server.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id, "reason": "enough"}})
        assert server.run("x", session=session)["structuredContent"]["return_value"] == 1
        assert id not in server.answers
    server.call("end_session", session=session)


def test_a_call_that_is_cancelled_before_it_begins_does_not_begin():
    with Server("--jobs", "1") as server:
        session = server.session()
        server.run("seen = []", session=session)
        first = server.start("tools/call", {"name": "run_python_code", "arguments": {
            "code": "import time; time.sleep(1); seen.append(1)", "session": session}})  # fmt: skip
        second = server.start(
            "tools/call", {"name": "run_python_code", "arguments": {"code": "seen.append(2)", "session": session}}
        )
        server.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": second}})
        server.wait(first)
        assert server.run("seen", session=session)["structuredContent"]["return_value"] == [1]
        assert second not in server.answers


def test_progress_comes_with_a_token_only(server):
    code = "import time\nfor i in range(8): print('step', i, flush=True); time.sleep(0.2)"
    for meta in ({}, {"_meta": {"progressToken": "tick"}}):
        server.others.clear()
        assert not server.ask("tools/call", {"name": "run_python_code", "arguments": {"code": code}, **meta})["result"]["isError"]
        assert server.ask("ping")["result"] == {}
        assert bool(server.others) is bool(meta)
    numbers = [note["params"]["progress"] for note in server.others]
    assert numbers == sorted(set(numbers)) and len(numbers) <= 8
    for note in server.others:
        assert note["method"] == "notifications/progress" and note["params"]["progressToken"] == "tick"
        assert note["params"]["message"].startswith("step ")


def test_a_call_that_waits_tells_of_the_queue():
    with Server("--jobs", "1") as server:
        server.start("tools/call", {"name": "run_python_code", "arguments": {"code": "import time; time.sleep(3)"}})
        id = server.start("tools/call", {"name": "run_python_code", "arguments": {"code": "1"}, "_meta": {"progressToken": 7}})
        server.wait(id)
        assert any("waiting" in note["params"]["message"] for note in server.others)


# ---- The process -------------------------------------------------------------------------------------------------------------------


def children(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *children(int(child))]
    return found


def gone(pids):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if not any(pathlib.Path(f"/proc/{pid}/exe").is_symlink() and os.path.exists(f"/proc/{pid}/exe") for pid in pids):
            return True
        time.sleep(0.05)
    return False


@core
@pytest.mark.parametrize("end", ["stdin", "SIGTERM", "SIGINT", "SIGHUP"])
def test_the_end_leaves_nothing(end, report):
    with Server() as server:
        session = server.session()
        server.run("x = 1", session=session)
        server.start("tools/call", {"name": "run_python_code", "arguments": {"code": "while True: pass", "session": session}})
        server.start("tools/call", {"name": "run_python_code", "arguments": {"code": "while True: pass"}})
        time.sleep(0.3)
        pids = children(server.process.pid)
        assert pids
        start = time.monotonic()
        if end == "stdin":
            assert server.close() == 0
        else:
            server.process.send_signal(getattr(signal, end))
            assert server.process.wait(timeout=PATIENCE) == 0
        report("belljar mcp: from the end to its exit", f"{end:8} {time.monotonic() - start:.2f} s")
        assert gone(pids)


def test_requests_before_the_end_of_stdin_are_answered():
    lines = [{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}},
             {"jsonrpc": "2.0", "id": 2, "method": "ping"}]  # fmt: skip
    done = subprocess.run(
        [COMMAND, "mcp"], input="".join(json.dumps(line) + "\n" for line in lines).encode(), capture_output=True, timeout=PATIENCE
    )
    assert done.returncode == 0 and [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1, 2] and done.stderr == b""


def test_half_a_line_at_the_end_is_no_message():
    done = subprocess.run([COMMAND, "mcp"], input=b'{"jsonrpc": "2.0", "id": 1, "me', capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0 and done.stdout == b""


def test_a_client_that_does_not_read_is_waited_for():
    """Answers pile up to a limit; then nothing more is read. Once the client reads, all of them come."""
    ours, theirs = socket.socketpair()
    with Server(era="none", stdout=theirs) as server:
        theirs.close()
        count = 300

        def send():
            for i in range(count):
                server.send({"jsonrpc": "2.0", "id": i, "method": "tools/call", "params": {
                    "name": "run_python_code", "arguments": {"code": "print('x' * 30000)"}}})  # fmt: skip

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        time.sleep(1)
        got = set()
        ours.settimeout(PATIENCE)
        with ours.makefile("rb") as lines:
            while len(got) < count:
                got.add(json.loads(lines.readline())["id"])
        assert got == set(range(count))


def test_a_client_that_has_gone_ends_it():
    ours, theirs = socket.socketpair()
    with Server(era="none", stdout=theirs) as server:
        theirs.close()
        ours.close()
        server.send({"jsonrpc": "2.0", "id": 1, "method": "ping"})
        assert server.process.wait(timeout=PATIENCE) == 0


@core
def test_a_supervisor_that_dies_is_replaced():
    with Server() as server:
        session = server.session()
        server.run("x = 1", session=session)
        running = server.start("tools/call", {"name": "run_python_code", "arguments": {"code": "while True: pass"}})
        time.sleep(0.3)
        for task in pathlib.Path(f"/proc/{server.process.pid}/task").glob("*/children"):
            for child in task.read_text().split():
                os.kill(int(child), signal.SIGKILL)
        assert server.wait(running)["result"]["structuredContent"]["verdict"] == "infra_error"
        assert server.run("6 * 7")["structuredContent"]["return_value"] == 42
        result = server.run("x", session=session)
        assert result["isError"] and "supervisor" in text_of(result)


# ---- The command -------------------------------------------------------------------------------------------------------------------


def belljar(*arguments):
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE)


def test_config_prints_snippets_with_the_options_given():
    done = belljar("mcp", "--config", "--read", "/tmp", "--timeout", "5")
    assert done.returncode == 0
    blocks = done.stdout.split("\n\n")
    desktop = json.loads(blocks[0].partition("\n")[2])["mcpServers"]["belljar"]
    assert desktop["command"] == str(pathlib.Path(COMMAND).resolve()) and desktop["args"] == [
        "mcp",
        "--read",
        "/tmp",
        "--timeout",
        "5",
    ]
    editor = json.loads(blocks[1].partition("\n")[2])["servers"]["belljar"]
    assert editor["type"] == "stdio"
    assert any(block.startswith("# Claude Code") and "mcp --read /tmp --timeout 5" in block for block in blocks)
    assert any('args = ["mcp", "--read", "/tmp", "--timeout", "5"]' in block for block in blocks)


@core
def test_check_says_what_works():
    done = belljar("mcp", "--check")
    assert done.returncode == 0 and "6 * 7 is 42" in done.stdout and "clients are told" in done.stdout
    done = belljar("mcp", "--check", "--python", "/bin/nowhere")
    assert done.returncode == 125 and "/bin/nowhere" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--sessions", "x"], "--sessions x"), (["--idle", "-1"], "--idle -1"), (["--jobs", ""], "--jobs"), (["--bogus"], "unknown option"),
     (["--timeout", "x"], "timeout")],
)  # fmt: skip
def test_wrong_options_are_said(arguments, words):
    done = belljar("mcp", *arguments)
    assert done.returncode == 2 and words in done.stderr and done.stdout == ""


def test_a_sandbox_that_cannot_start_is_said_on_stderr_alone():
    done = subprocess.run([COMMAND, "mcp", "--python", "/bin/nowhere"], input=b"", capture_output=True, timeout=PATIENCE)
    assert done.returncode == 125 and b"/bin/nowhere" in done.stderr and done.stdout == b""


def test_help_has_every_option():
    text = belljar("mcp", "--help").stdout
    for flag in (
        "--policy FILE",
        "--sessions N",
        "--idle SECONDS",
        "--jobs N",
        "--config",
        "--check",
        "--read PATH",
        "--timeout SECONDS",
    ):
        assert flag in text
