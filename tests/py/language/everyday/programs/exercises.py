"""What students hand in: sorting, a stack, queens, primes."""
from typing import Iterator, List, Optional


def quicksort(items: List[int]) -> List[int]:
    if len(items) < 2:
        return items
    pivot, *rest = items
    return quicksort([x for x in rest if x < pivot]) + [pivot] + quicksort([x for x in rest if x >= pivot])


class Stack:
    def __init__(self) -> None:
        self._items: list = []

    def push(self, item) -> "Stack":
        self._items.append(item)
        return self

    def pop(self) -> Optional[int]:
        return self._items.pop() if self._items else None

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"Stack({self._items})"


def primes() -> Iterator[int]:
    found: List[int] = []
    n = 2
    while True:
        if all(n % p for p in found):
            found.append(n)
            yield n
        n += 1


def queens(n: int, placed=()) -> int:
    if len(placed) == n:
        return 1
    row = len(placed)
    return sum(queens(n, (*placed, c)) for c in range(n) if all(c != p and abs(c - p) != row - r for r, p in enumerate(placed)))


print(quicksort(list(range(60)))[-3:], quicksort([3, 1, 2]))
stack = Stack().push(1).push(2)
print(stack, stack.pop(), len(stack), Stack().pop())
print([p for p, _ in zip(primes(), range(10))], queens(6))
assert quicksort([]) == []
