"""Whatever is handed out is called with arguments that call, in C code, what acts on the calling frame: sweep_program.py."""

from __future__ import annotations

import ast
import pathlib
from typing import Any

from conftest import HERE, run_plain
from test_everyday import EVERYDAY
from test_frames import FEATURES, SAFE, everything

# What waits, ends the program, or takes its output away.
SKIP = {"sleep", "input", "exit", "quit", "close", "redirect_stdout", "print", "scrypt", "pbkdf2_hmac", "stdin", "stdout", "stderr"}


def test_nothing_that_is_handed_out_shows_a_frame_of_the_library(
    python: str, extension: pathlib.Path, record_property: Any
) -> None:
    config = everything(*FEATURES, "everyday")
    modules = sorted({*config.to_dict()["imports"], *SAFE} - {"sys", "encodings", "__future__"})
    assert {name for name, _, _ in EVERYDAY} <= set(modules)
    source = f"MODULES = {modules!r}\nSKIP = {SKIP!r}\n" + (HERE / "sweep_program.py").read_text()
    outcome = run_plain(python, extension, config, source, seconds=200.0)
    assert outcome.error is None, outcome.text
    lines = outcome.stdout.splitlines()
    assert [line for line in lines if line.startswith("seen") or "reached" in line] == []
    (counts,) = [line for line in lines if line.startswith("counts")]
    callables, calls, captured, refused, seen = ast.literal_eval(counts.removeprefix("counts "))
    print(f"{callables} callables, {calls} calls, {captured} answers in the program's own frames, {refused} refused")
    record_property("counts", counts)
    assert callables > 3000 and refused > 5000 and seen == 0
