"""Classes of every kind: dataclasses, NamedTuple, ABC, Protocol, Generic."""
import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from typing import Generic, NamedTuple, Protocol, TypeVar


class Point(NamedTuple):
    x: float
    y: float = 0.0

    def distance(self, other: "Point") -> float:
        return math.hypot(self.x - other.x, self.y - other.y)


class Shape(ABC):
    @property
    @abstractmethod
    def area(self) -> float: ...

    def __lt__(self, other: "Shape") -> bool:
        return self.area < other.area


@dataclass(frozen=True)
class Circle(Shape):
    radius: float

    @property
    def area(self) -> float:
        return math.pi * self.radius**2


@dataclass(frozen=True)
class Box(Shape):
    width: float
    height: float = 1.0

    @property
    def area(self) -> float:
        return self.width * self.height


class HasArea(Protocol):
    @property
    def area(self) -> float: ...


T = TypeVar("T", bound=HasArea)


class Pile(Generic[T]):
    def __init__(self, *items: T) -> None:
        self.items = list(items)

    def largest(self) -> T:
        return max(self.items, key=lambda item: item.area)


print(Point(3).distance(Point(0, 4)), Point(1)._asdict(), sorted([Circle(1), Box(2)]))
print(Pile[Shape](Box(9), Circle(1)).largest(), asdict(Box(2, 3)), replace(Box(2), height=5), {Box(1): "one"}[Box(1)])
try:
    Shape()
except TypeError as error:
    print(str(error)[:40])
