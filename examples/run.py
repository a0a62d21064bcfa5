"""Runs the jobs of this folder in the sandbox, two by the command and two from Python, and prints what comes back.

This is what `make run` does; README.md shows its output as it is (scripts/readme-output)."""

import pathlib
import subprocess
import sys

import belljar
from belljar import Policy, Sandbox

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent
COMMAND = TREE / ".venv/bin/belljar"


def title(text: str) -> None:
    print(f"\n== {text}\n", flush=True)


def command(line: str, *arguments: str, stdin: str = "/dev/null") -> None:
    """Prints a command line and runs it from the top of the tree, its output passed through."""
    print(f"$ {line}", flush=True)
    with open(TREE / stdin) as file:
        done = subprocess.run([COMMAND, *arguments], cwd=TREE, stdin=file, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.exit(f"belljar ended with status {done.returncode}")


def report() -> None:
    title("a text report over a granted file")
    command(
        "belljar run --read examples/data examples/report.py $PWD/examples/data/access.log",
        "run", "--read", "examples/data", "examples/report.py", f"{TREE}/examples/data/access.log",
    )  # fmt: skip


def sales() -> None:
    title("pandas and matplotlib, the chart collected")
    with Sandbox(Policy(timeout=60), files={"sales.csv": (HERE / "data/sales.csv").read_bytes()}) as sandbox:
        execution = sandbox.run_code((HERE / "sales.py").read_text())
        print(execution.stdout + execution.stderr, end="")
        if execution.verdict != "ok":
            sys.exit(f"the job ended as {execution.verdict}: {execution.error}")
        chart = sandbox.files["sales.png"]
    target = TREE / "build/sales.png"
    target.write_bytes(chart)
    width, height = (int.from_bytes(chart[at : at + 4], "big") for at in (16, 20))
    print(f"\n{target.relative_to(TREE)}: {chart[1:4].decode()}, {width} x {height} pixels")


def settle() -> None:
    title("a program that reads standard input")
    command("belljar run examples/settle.py < examples/data/ledger.txt", "run", "examples/settle.py",
            stdin="examples/data/ledger.txt")  # fmt: skip


def hostile() -> None:
    title("a hostile script, and what it got")
    execution = belljar.run((HERE / "hostile.py").read_text(), Policy(timeout=20, memory="256M", threads=8))
    print(execution.stdout + execution.stderr, end="")
    print(f"\nverdict: {execution.verdict}")
    print("on record, by rule:", ", ".join(sorted({violation.rule for violation in execution.violations})))


if __name__ == "__main__":
    for job in (report, sales, settle, hostile):
        job()
