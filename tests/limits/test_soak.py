"""The short form of soak.py, which by itself takes 20 minutes."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest


@pytest.mark.xdist_group("machine")  # its files are in the figures of others
def test_honest_guests_do_not_feel_hostile_ones_and_nothing_is_left(report):
    soak = pathlib.Path(__file__).with_name("soak.py")
    done = subprocess.run([sys.executable, str(soak), "--minutes", "0.3"], capture_output=True, text=True, timeout=200)
    report("soak, short form", *(f"{number:4} {line}" for number, line in enumerate(done.stdout.splitlines())))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1500:]
