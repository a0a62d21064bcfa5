"""`belljar` as pip installs it: becomes the C program that lies beside this file."""

import os
import sys


def main() -> None:
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "belljar")
    # `belljar learn` is Python again, and has to be this one.
    environment = {"BELLJAR_PYTHON": sys.executable, **os.environ}
    os.execve(program, [program, *sys.argv[1:]], environment)
