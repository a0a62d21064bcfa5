"""Algorithms and the language itself: classes, metaclasses, generators, decorators, patterns, exceptions, async."""

import math


class Heap:
    def __init__(self, items=()):
        self.items = []
        for item in items:
            self.push(item)

    def push(self, item):
        items, i = self.items, len(self.items)
        items.append(item)
        while i and items[(i - 1) // 2] > items[i]:
            items[(i - 1) // 2], items[i] = items[i], items[(i - 1) // 2]
            i = (i - 1) // 2

    def pop(self):
        items = self.items
        items[0], items[-1] = items[-1], items[0]
        smallest, i = items.pop(), 0
        while (child := 2 * i + 1) < len(items):
            child += child + 1 < len(items) and items[child + 1] < items[child]
            if items[i] <= items[child]:
                break
            items[i], items[child] = items[child], items[i]
            i = child
        return smallest

    def __bool__(self):
        return bool(self.items)


def shortest(graph, start):
    best, heap = {}, Heap([(0, start)])
    while heap:
        cost, node = heap.pop()
        if node not in best:
            best[node] = cost
            for other, length in graph[node].items():
                heap.push((cost + length, other))
    return best


def memo(function):
    cache = {}

    def wrapper(*args):
        if args not in cache:
            cache[args] = function(*args)
        return cache[args]

    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    wrapper.cache = cache
    return wrapper


@memo
def lcs(a, b):
    """Longest common subsequence."""
    if not a or not b:
        return ""
    if a[-1] == b[-1]:
        return lcs(a[:-1], b[:-1]) + a[-1]
    return max(lcs(a[:-1], b), lcs(a, b[:-1]), key=len)


class Registry(type):
    known = {}

    def __new__(mcls, name, bases, namespace, **keywords):
        cls = super().__new__(mcls, name, bases, namespace)
        mcls.known[name] = keywords
        return cls

    def __init__(cls, name, bases, namespace, **keywords):
        super().__init__(name, bases, namespace)

    def __len__(cls):
        return len(cls.fields)


class Typed:
    def __init__(self, kind):
        self.kind = kind

    def __set_name__(self, owner, name):
        self.name = "_" + name

    def __get__(self, instance, owner=None):
        return self if instance is None else getattr(instance, self.name)

    def __set__(self, instance, value):
        if not isinstance(value, self.kind):
            raise TypeError(f"{self.name[1:]} is {self.kind.__name__}")
        setattr(instance, self.name, value)


class Point(metaclass=Registry, plane="real"):
    fields = ("x", "y")
    __slots__ = ("_x", "_y")
    __match_args__ = ("x", "y")
    x, y = Typed((int)), Typed(int)

    def __init__(self, x=0, y=0):
        self.x, self.y = x, y

    def __init_subclass__(cls, **keywords):
        super().__init_subclass__()

    def __eq__(self, other):
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self):
        return hash((self.x, self.y))

    def __add__(self, other):
        return type(self)(self.x + other.x, self.y + other.y)

    def __repr__(self):
        return f"{self.__class__.__name__}({self.x}, {self.y})"

    @property
    def length(self):
        return math.hypot(self.x, self.y)

    @classmethod
    def origin(cls):
        return cls()

    @staticmethod
    def unit():
        return Point(1, 1)


class Left:
    def who(self):
        return "left " + super().who()


class Right:
    def who(self):
        return "right"


class Both(Left, Right):
    pass


def where(value):
    match value:
        case Point(0, 0):
            return "origin"
        case Point(x=0) | Point(y=0):
            return "axis"
        case [first, *rest] if rest:
            return f"{first} and {len(rest)}"
        case {"key": str() as text, **others}:
            return text + str(others)
        case _:
            return "elsewhere"


def tree(depth):
    if depth:
        yield from tree(depth - 1)
        got = yield depth
        if got:
            yield got


class Managed:
    def __init__(self, log):
        self.log = log

    def __enter__(self):
        self.log.append("in")
        return self

    def __exit__(self, kind, value, traceback):
        self.log.append(kind.__name__ if kind else "out")
        return kind is KeyError


class Ready:
    def __init__(self, value):
        self.value = value

    def __await__(self):
        return (yield self.value)


async def numbers(n):
    for i in range(n):
        yield i + await Ready(i)


async def total(n):
    return sum([x async for x in numbers(n)])


def drive(coroutine):
    value = None
    while True:
        try:
            value = coroutine.send(value)
        except StopIteration as end:
            return end.value


GRAPH = {"a": {"b": 7, "c": 3}, "b": {"d": 2}, "c": {"b": 1, "d": 8}, "d": {}}
print(shortest(GRAPH, "a"))
print(lcs("nematode knowledge", "empty bottle"), lcs.__name__, lcs.__doc__, len(lcs.cache) > 10)
print(Point(1, 2) + Point.unit(), Point(3, 4).length, len(Point), Registry.known, {Point(1, 1), Point.unit()})
try:
    Point("1", 2)
except TypeError as error:
    print(error)
print(Both().who(), issubclass(Both, Left), type("Made", (Both,), {"z": 1}).z, callable(Both))
print([where(v) for v in (Point(), Point(0, 3), [1, 2, 3], {"key": "k", "more": 1}, 5)])
t = tree(4)
print([next(t), next(t), t.send("extra"), *t])
log = []
with Managed(log) as outer, Managed(log):
    {}["missing"]
print(log, outer.log is log)
print(drive(total(5)))
try:
    try:
        raise ValueError("first")
    except ValueError as error:
        raise RuntimeError("second") from error
except RuntimeError as error:
    print(repr(error), error.args)
try:
    raise ExceptionGroup("several", [ValueError(1), TypeError(2), KeyError(3)])
except* (ValueError, TypeError) as group:
    print(len(group.exceptions))
except* KeyError as group:
    print(group.exceptions)
sieve = bytearray([1]) * 1000
for i in range(2, 32):
    if sieve[i]:
        sieve[i * i :: i] = bytes(len(range(i * i, 1000, i)))
print(sum(sieve[2:]), [*filter(None, map(lambda a, b: a * b, range(4), range(4)))], divmod(-7, 2), pow(3, -1, 7))
print(sorted({"b": 1, "a": 2}.items()), dict.fromkeys("ab", 0) | {"c": 1}, {**{"x": 1}}, [*range(3)], not all([]))
a, (b, *c), d = 1, (2, 3, 4), 5
print(a, b, c, d, (lambda *args, key=0, **kw: (args, key, kw))(1, 2, key=3, z=4))
x: int = 3
print(eval("x + 1"), [f"{i:02x}" for i in b"\x00\xff"], int("ff", 16), 0.1 + 0.2, 10**20, 7 // -2, 1_000, 3 + 4j)
print(sum(1 for _ in zip("abc", range(9))), max("hello", key=lambda s: -ord(s)), "".join(reversed("abc")), hash(1), id(x) == id(3))
print(isinstance(True, int), [1, 2] < [1, 3], ... is Ellipsis, NotImplemented is not None, memoryview(b"ab")[1], __name__)
if __name__ == "__main__":
    print("done")
