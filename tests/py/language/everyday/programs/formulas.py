"""A spreadsheet: cells with formulas, evaluated by need."""
import re

cells = {"A1": "3", "A2": "4", "A3": "=A1*A2+1", "B1": "=sum(A1:A3)", "B2": "=max(A1, A3) if B1 > 10 else 0"}


def value(name, seen=()):
    if name in seen:
        raise ValueError(f"circle: {' -> '.join([*seen, name])}")
    text = cells[name]
    if not text.startswith("="):
        return float(text)
    names = {}

    def cell(match):
        names[match[0]] = value(match[0], (*seen, name))
        return match[0]

    def span(match):
        column, first, last = match[1], int(match[2]), int(match[3])
        return "[" + ", ".join(f"{column}{row}" for row in range(first, last + 1)) + "]"

    formula = re.sub(r"([A-Z])(\d+):[A-Z](\d+)", span, text[1:])
    re.sub(r"[A-Z]\d+", cell, formula)
    return eval(formula, {}, names)


for name in cells:
    print(name, value(name))
cells["A1"] = "=B1"
try:
    value("B1")
except ValueError as error:
    print(error)
