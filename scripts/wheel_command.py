"""`belljar` as pip installs it: becomes the C program that lies beside this file."""

import os
import sys


def main() -> None:
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "belljar")
    os.execv(program, [program, *sys.argv[1:]])
