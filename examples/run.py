"""Runs the jobs of this folder in the sandbox, by the command and from Python, and prints what comes back.

This is what `make run` does; README.md shows its output as it is (scripts/readme-output)."""

import pathlib
import subprocess
import sys

from belljar import Policy, Sandbox, Template

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
    with Template(Policy(timeout=20, memory="256M", threads=8, jit=False)) as template:
        execution = template.run((HERE / "hostile.py").read_text())
        print(execution.stdout + execution.stderr, end="")
        print(f"\nverdict: {execution.verdict}; what the caller has on record, by rule:")
        for rule, hint in sorted({(violation.rule, violation.hint) for violation in execution.violations}):
            print(f"  {rule:14} {hint}")

        title("what native code would try, each in a guest of its own")
        for name, call in (
            ("trace another process", "syscall(101, 0x4206, 1, 0, 0)"),
            ("mount something", "syscall(165, b'none', b'/mnt', b'tmpfs', 0, None)"),
            ("make a user namespace", "syscall(272, 0x10000000)"),
            ("load a program into the kernel", "syscall(321, 0, None, 0)"),
            ("set up io_uring", "syscall(425, 8, None)"),
            ("open a file, around libc", "syscall(2, b'/etc/shadow', 0)"),
            ("read address 0", "memset(None, 0, 1)"),
        ):
            code = f"import ctypes; libc = ctypes.CDLL(None, use_errno=True); (libc.{call}, ctypes.get_errno())"
            execution = template.run(code)
            error = f", {execution.error.value}" if execution.error else ""
            got = f"returned {execution.text} (result, errno)" if execution.text else "did not return"
            print(f"{name:34} {got:36} {execution.verdict}{error}")


def program(text: str, name: str) -> None:
    """A program of this folder that uses belljar."""
    title(text)
    done = subprocess.run([sys.executable, HERE / name], cwd=TREE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.exit(f"{name} ended with status {done.returncode}")


def programs() -> None:
    program("an agent loop with two tools", "agent_loop.py")
    program("a grader for student functions", "grader.py")
    program("a pandas report with a plot", "pandas_report.py")
    program("users' formulas over a read-only catalogue", "formulas.py")


if __name__ == "__main__":
    for job in (report, sales, settle, programs, hostile):
        job()
