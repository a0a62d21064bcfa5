"""The Inspector's command line against `belljar mcp`."""

from __future__ import annotations

import json
import os
import subprocess

INSPECTOR = [os.path.join(os.environ["NODE_BIN"], "mcp-inspector"), "--cli", os.environ["BELLJAR"], "mcp"]


def inspector(*arguments: str) -> dict:
    done = subprocess.run([*INSPECTOR, *arguments], capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout) if done.stdout.strip() else {"error": done.stderr}


def check_tools():
    tools = inspector("--method", "tools/list")["tools"]
    assert len(tools) == 10 and tools[0]["outputSchema"]["type"] == "object"


def check_call():
    result = inspector("--method", "tools/call", "--tool-name", "run_python_code", "--tool-arg", "code=6 * 7")
    assert result["structuredContent"]["return_value"] == 42, result


def check_error():
    result = inspector("--method", "tools/call", "--tool-name", "run_python_code", "--tool-arg", "code=1 / 0")
    assert result["isError"] is True, result


def check_resources():
    assert inspector("--method", "resources/list")["resources"] == []


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]
failed = 0
for check in CHECKS:
    try:
        check()
    except Exception as error:
        failed += 1
        print(f"FAILED {check.__name__}: {type(error).__name__}: {error}")
print(f"Inspector: {len(CHECKS) - failed} passed, {failed} failed")
raise SystemExit(1 if failed else 0)
