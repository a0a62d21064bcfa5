"""A game's path finding and units: dataclasses, an enum, heapq and deque."""
import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto


class Kind(Enum):
    FLOOR = auto()
    WALL = auto()


@dataclass(order=True)
class Step:
    cost: int
    place: tuple = field(compare=False)


@dataclass
class Unit:
    name: str
    hp: int = 10
    log: list = field(default_factory=list)

    def hit(self, amount):
        self.hp -= amount
        self.log.append(f"-{amount}")


grid = ["..#.", "..#.", "....", "#..."]
kinds = {(r, c): Kind.WALL if ch == "#" else Kind.FLOOR for r, row in enumerate(grid) for c, ch in enumerate(row)}


def path_cost(start, goal):
    best, heap = {start: 0}, [Step(0, start)]
    while heap:
        step = heapq.heappop(heap)
        if step.place == goal:
            return step.cost
        r, c = step.place
        for near in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
            if kinds.get(near) is Kind.FLOOR and step.cost + 1 < best.get(near, 99):
                best[near] = step.cost + 1
                heapq.heappush(heap, Step(step.cost + 1, near))
    return None


random.seed(7)
units = [Unit("orc"), Unit("elf", 8)]
for _ in range(5):
    random.choice(units).hit(1)
turns = deque(units)
turns.rotate(1)
print(path_cost((0, 0), (0, 3)), sum(unit.hp for unit in units), [unit.name for unit in turns], Kind.WALL.name)
print(Unit("imp"), Unit("imp") == Unit("imp"))
