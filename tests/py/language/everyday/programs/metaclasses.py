"""Metaclasses, descriptors, subclasses of builtins and of random.Random."""
import random


class Registered(type):
    known = {}

    def __new__(meta, name, bases, names, **kw):
        cls = super().__new__(meta, name, bases, names)
        meta.known[name] = kw.get("tag", name.lower())
        return cls

    def __init__(cls, name, bases, names, **kw):
        super().__init__(name, bases, names)


class Positive:
    def __set_name__(self, owner, name):
        self.name = "_" + name

    def __get__(self, instance, owner=None):
        return self if instance is None else getattr(instance, self.name, 0)

    def __set__(self, instance, value):
        if value < 0:
            raise ValueError(f"{self.name[1:]} is {value}")
        setattr(instance, self.name, value)


class Account(metaclass=Registered, tag="acc"):
    balance = Positive()

    def __init_subclass__(cls, **kw):
        cls.is_sub = True


class Savings(Account):
    pass


class Dice(random.Random):
    def roll(self, count=1):
        return [self.randint(1, 6) for _ in range(count)]


class Matrix(list):
    def __matmul__(self, other):
        return Matrix([[sum(a * b for a, b in zip(row, column)) for column in zip(*other)] for row in self])


class Celsius(float):
    __slots__ = ()

    def __format__(self, spec):
        return super().__format__(spec or ".1f") + " C"


account = Savings()
account.balance = 5
try:
    account.balance = -1
except ValueError as error:
    print(error)
print(account.balance, Registered.known, Savings.is_sub, Matrix([[1, 2], [3, 4]]) @ [[1, 0], [0, 1]], f"{Celsius(21.55)}")
print(Dice(3).roll(4) == Dice(3).roll(4), sorted(Dice(1).sample(range(5), 5)), isinstance(Dice(), random.Random))
