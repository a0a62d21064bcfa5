"""The conformance package's server scenarios against `belljar mcp`.

The package speaks HTTP and calls tools by names of its own. The bridge here hands each message on to one `belljar mcp` and
turns the names of those tools into calls of ours that come to what the scenario wants; everything that is checked, belljar has made.
Scenarios for what belljar does not offer (prompts, sampling, elicitation, logging, completion, subscriptions, audio) are left out, and so
is tools-call-mixed-content: it wants text, image and an embedded resource from one tool, and no tool of ours has all three."""

from __future__ import annotations

import http.server
import json
import os
import queue
import subprocess
import threading

SCENARIOS = ("server-initialize", "ping", "tools-list", "tools-call-simple-text", "tools-call-image", "tools-call-embedded-resource",
             "tools-call-error", "tools-call-with-progress", "resources-list")  # fmt: skip
FIGURE = "class P:\n  def _repr_png_(self): return b'\\x89PNG\\r\\n\\x1a\\n' + bytes(20)\nP()"
RUNS = {
    "test_simple_text": "print('This is a simple text response for testing.')",
    "test_image_content": FIGURE,
    "test_error_handling": "raise RuntimeError('This tool intentionally returns an error for testing')",
    "test_tool_with_progress": "import time\nfor i in range(4): print(i, flush=True); time.sleep(0.4)",
}


class Server:
    def __init__(self) -> None:
        self.process = subprocess.Popen([os.environ["BELLJAR"], "mcp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lock = threading.Lock()
        self.waiting: dict[object, queue.Queue] = {}
        self.tokens: dict[object, queue.Queue] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            message = json.loads(line)
            place = self.tokens.get(message["params"]["progressToken"]) if "method" in message else self.waiting.get(message["id"])
            if place is not None:
                place.put(message)

    def send(self, message: dict, place: queue.Queue | None = None) -> None:
        with self.lock:
            if place is not None:
                self.waiting[message["id"]] = place
                token = message.get("params", {}).get("_meta", {}).get("progressToken")
                if token is not None:
                    self.tokens[token] = place
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def ask(self, method: str, params: dict) -> dict:
        place: queue.Queue = queue.Queue()
        self.send({"jsonrpc": "2.0", "id": f"bridge {id(place)}", "method": method, "params": params}, place)
        return place.get(timeout=60)["result"]


server: Server


def translate(message: dict) -> dict:
    """The message with a tool of ours."""
    params = message.get("params", {})
    if message.get("method") != "tools/call":
        return message
    if params["name"] in RUNS:
        return {**message, "params": {**params, "name": "run_python_code", "arguments": {"code": RUNS[params["name"]]}}}
    if params["name"] == "test_embedded_resource":
        session = server.ask("tools/call", {"name": "create_session", "arguments": {}})["structuredContent"]["session"]
        server.ask("tools/call", {"name": "write_file", "arguments": {"session": session, "path": "a", "base64": "AAE="}})
        return {**message, "params": {"name": "read_file", "arguments": {"session": session, "path": "a"}}}
    return message


class Bridge(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        global server
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if message.get("method") == "initialize":
            server = Server()  # each scenario is a client of its own
        if "id" not in message:
            server.send(message)
            self.send_response(202)
            self.end_headers()
            return
        place: queue.Queue = queue.Queue()
        server.send(translate(message), place)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        answer: dict = {}
        while "id" not in answer:
            answer = place.get(timeout=60)
            self.wfile.write(b"event: message\r\ndata: " + json.dumps(answer).encode() + b"\r\n\r\n")
            self.wfile.flush()

    def do_GET(self) -> None:
        self.send_response(405)
        self.send_header("Allow", "POST")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


bridge = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bridge)
threading.Thread(target=bridge.serve_forever, daemon=True).start()
failed = 0
for scenario in SCENARIOS:
    done = subprocess.run([os.path.join(os.environ["NODE_BIN"], "conformance"), "server", "--scenario", scenario,
                           "--url", f"http://127.0.0.1:{bridge.server_port}/mcp"], capture_output=True, text=True, timeout=120)  # fmt: skip
    failed += done.returncode != 0
    print(
        f"{'ok' if done.returncode == 0 else 'FAILED'} {scenario}"
        + ("" if done.returncode == 0 else done.stdout[-800:] + done.stderr[-800:])
    )
print(f"conformance: {len(SCENARIOS) - failed} passed, {failed} failed")
raise SystemExit(1 if failed else 0)
