"""tools/cpython-tests: what it says of a few files, and that the page is what its results say."""

import importlib.machinery
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tomllib
import types

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools/cpython-tests"
PYTHON = "/usr/bin/python3"


def tool(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, TOOL, *arguments], capture_output=True, text=True, timeout=200)


def test_the_page_is_what_its_results_say():
    done = tool("--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_every_difference_has_a_reason_in_words_and_most_files_pass():
    results = json.loads((ROOT / "docs/cpython-tests.json").read_text())
    words = tomllib.loads((ROOT / "tools/cpython-tests.toml").read_text())["reason"]
    files = results["files"].values()
    used = {reason for row in files for reason in row.get("reasons", ())}
    assert used <= set(words) and "unexplained" not in used
    passing = [row for row in files if row["outside"] == "pass"]
    needs_nothing = [row for row in passing if not any(words[reason]["by_design"] for reason in row.get("reasons", ()))]
    same = sum(row["inside"] == "pass" for row in needs_nothing)
    assert len(needs_nothing) > 200 and same >= 0.98 * len(needs_nothing)


def test_files_run_outside_and_inside_and_differences_are_explained(tmp_path):
    if subprocess.run([PYTHON, "-c", "import test.test_grammar"], capture_output=True).returncode:
        pytest.skip(f"{PYTHON} has no tests of CPython's (Debian: libpython3.11-testsuite)")
    belljar = pathlib.Path(os.environ.get("BELLJAR_BUILD", ROOT / "build")) / "belljar"
    arguments = ["--belljar", str(belljar), "--cache", str(tmp_path), "--python", PYTHON]
    files = ["test_bool", "test_textwrap", "test_netrc", "test_openpty", "test_graphlib"]
    done = tool(*arguments, *files)
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    if "skip" in said["test_openpty"].split(" → ")[0]:
        pytest.skip("there are no terminals outside either")
    assert [said[name].split()[0] for name in files] == ["pass"] * 5, done.stdout + done.stderr
    assert [said[name].split(" → ")[1].split()[0] for name in files] == ["pass", "pass", "pass", "fail", "fail"], done.stdout
    assert said["test_openpty"].endswith("terminal (1)") and said["test_graphlib"].endswith("processes (1)")
    # The tool goes on where it was: nothing is run again
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    assert tool(*arguments, *files).stdout == done.stdout and len(kept) == 10
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")} == kept


def test_a_file_that_was_not_run_again_keeps_its_row(tmp_path):
    """Of the same version and with the same options only."""
    loader = importlib.machinery.SourceFileLoader("cpython_tests", str(TOOL))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("cpython_tests", loader))
    sys.modules["cpython_tests"] = module
    loader.exec_module(module)
    tester = types.SimpleNamespace(cache=tmp_path, inside_options=["--memory", "1G"])
    for side in "outside", "inside":
        (tmp_path / f"test_new.{side}.json").write_text(json.dumps({"status": "pass", "ran": 3}))
    row, new = {"outside": "pass", "inside": "pass", "ran": [1, 1]}, {"outside": "pass", "inside": "pass", "ran": [3, 3]}
    before = {"python": "3.11.2", "options": ["--memory", "1G"], "files": {"test_new": row, "test_old": row, "test_gone": row}}
    names = ["test_new", "test_old", "test_unknown"]
    for version, options, files in (
        ("3.11.2", ["--memory", "1G"], {"test_new": new, "test_old": row}),
        ("3.11.3", ["--memory", "1G"], {"test_new": new}),
        ("3.11.2", ["--memory", "2G"], {"test_new": new}),
    ):
        tester.inside_options = options
        assert module.sum_up(tester, names, module.Reasons(), version, before)["files"] == files


def test_what_is_missing_is_said(tmp_path):
    done = tool("--python", "/bin/false", "test_bool")
    assert done.returncode == 3 and "libpython3.11-testsuite" in done.stderr
    done = tool("--cache", str(tmp_path), "test_there_is_none")
    assert done.returncode in (2, 3) and "there is no test_there_is_none" in done.stderr or "has no tests" in done.stderr
