"""What the standard library is used for most: collections, functools, contextlib, enum, copy."""
import contextlib
import copy
import functools
import io
from collections import Counter, OrderedDict, UserDict, defaultdict
from enum import IntFlag


class Registry(UserDict):
    def __missing__(self, key):
        self[key] = key.upper()
        return self[key]


class Mode(IntFlag):
    READ = 1
    WRITE = 2


@contextlib.contextmanager
def section(name, out):
    out.write(f"[{name}\n")
    try:
        yield out
    finally:
        out.write("]\n")


class Node:
    def __init__(self, value, *children):
        self.value, self.children = value, list(children)

    @functools.cached_property
    def size(self):
        return 1 + sum(child.size for child in self.children)



tree = Node(1, Node(2), Node(3, Node(4)))
twin = copy.deepcopy(tree)
twin.children[0].value = 9
words = Counter("the cat the dog a cat the end".split())
groups = defaultdict(list)
for word, count in words.items():
    groups[count].append(word)
out = io.StringIO()
with section("a", out) as inner:
    print("text", file=inner)
print(words.most_common(2), dict(groups), out.getvalue(), tree.children[0].value, tree.size, twin.size)
print(Registry()["a"], Mode.READ | Mode.WRITE, Mode(3) & Mode.WRITE, list(OrderedDict(b=1, a=2)), copy.copy(tree).children is tree.children)
print(functools.reduce(lambda a, b: a * b, range(1, 6)), functools.partial(int, base=2)("110"))
