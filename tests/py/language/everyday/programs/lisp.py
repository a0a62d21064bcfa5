"""A small Lisp, by match."""
import math
import operator
import re


def parse(text):
    def read(tokens):
        token = next(tokens)
        if token == "(":
            items = []
            while (item := read(tokens)) != ")":
                items.append(item)
            return items
        try:
            return int(token)
        except ValueError:
            return token

    return read(iter(re.findall(r"[()]|[^\s()]+", text)))


BASE = {"+": operator.add, "-": operator.sub, "*": operator.mul, "<": operator.lt, "sqrt": math.isqrt}


def run(form, names):
    match form:
        case int():
            return form
        case str():
            return names[form]
        case ["if", test, yes, no]:
            return run(yes if run(test, names) else no, names)
        case ["define", name, body]:
            names[name] = run(body, names)
            return name
        case ["lambda", params, body]:
            return lambda *args: run(body, {**names, **dict(zip(params, args)), **({} if "f" not in names else {})})
        case ["let", [name, value], body]:
            return run(body, {**names, name: run(value, names)})
        case [function, *args]:
            return run(function, names)(*[run(arg, names) for arg in args])
    raise SyntaxError(form)


names = dict(BASE)
for text in ("(+ 1 (* 2 3))", "(let (x 5) (if (< x 6) (sqrt 17) 0))", "((lambda (a b) (- a b)) 9 4)", "(define y 3)", "y"):
    print(run(parse(text), names))
try:
    run(parse("(nothing 1)"), names)
except KeyError as error:
    print("unknown", error)
