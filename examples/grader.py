"""Grades what students handed in for `median(numbers)`: right, wrong, slow, greedy and sly ones alike.

Each case gets a session of its own. What is expected is compared out here, so no submission can see it."""

from typing import Any

from belljar import Policy, Sandbox, Template

CASES: list[tuple[list[float], float]] = [([3, 1, 2], 2), ([4, 1, 3, 2], 2.5), ([7], 7), ([5, -1, 5, 5], 5)]

SUBMISSIONS = {
    "ada": "def median(numbers):\n    s = sorted(numbers)\n    n = len(s)\n    return (s[n // 2] + s[(n - 1) // 2]) / 2\n",
    "bob": "def median(numbers):\n    return sorted(numbers)[len(numbers) // 2]\n",
    "cyn": "def median(numbers):\n    while len(numbers) > 1:\n        pass\n    return numbers[0]\n",
    "dan": "def median(numbers)\n    return 0\n",
    "eve": "def median(numbers):\n    return open('/srv/grader/solutions.txt').read()\n",
    "fay": "def median(numbers):\n    return [numbers] * 10**9\n",
    "gil": "import os\ndef median(numbers):\n    os._exit(0)\n",
    "hal": "class Right(float):\n    def __eq__(self, other): return True\ndef median(numbers):\n    return Right(0)\n",
    "ida": "print('hello grader')\n",
}


def grade(template: Template, text: str) -> tuple[int, str]:
    """(points, the first complaint)."""
    points, complaint = 0, ""
    for numbers, expected in CASES:
        with Sandbox(template=template) as sandbox:
            execution = sandbox.run_code(text, filename="submission.py")
            if execution.error is not None:
                return 0, execution.error.traceback.strip().splitlines()[-1]
            sandbox["numbers"] = numbers
            execution = sandbox.run_code("median(numbers)")
            value: Any = execution.value
            if type(value) in (int, float) and value == expected:
                points += 1
            elif not complaint:
                got = f"{execution.error.name}: {execution.error.value}" if execution.error else execution.text or "no answer"
                complaint = f"median({numbers}): {got}"
    return points, complaint


def main() -> None:
    with Template(Policy(timeout=1, memory="128M"), parked=2) as template:
        for name, text in SUBMISSIONS.items():
            points, complaint = grade(template, text)
            print(f"{name}  {points}/{len(CASES)}  {complaint[:110]}".rstrip())


if __name__ == "__main__":
    main()
