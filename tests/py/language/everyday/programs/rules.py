"""A rule engine: conditions as data, compared by functions of operator."""
import operator
import re
from collections import namedtuple

Rule = namedtuple("Rule", "field op value action", defaults=("flag",))
OPS = {"<": operator.lt, ">": operator.gt, "==": operator.eq, "in": lambda a, b: operator.contains(b, a), "~": lambda a, b: bool(re.search(b, a))}
RULES = [Rule("age", "<", 18, "refuse"), Rule("country", "in", ("DE", "FR")), Rule("mail", "~", r"@example\.", "drop")]


def judge(person):
    get = {name: operator.itemgetter(name) for name in person}
    for rule in RULES:
        if rule.field in get and OPS[rule.op](get[rule.field](person), rule.value):
            yield rule.action


for person in ({"age": 17, "country": "DE"}, {"age": 40, "mail": "a@example.org"}, {"country": "IT"}):
    print(sorted(judge(person)))
print(RULES[1]._replace(action="keep"), Rule._fields)
