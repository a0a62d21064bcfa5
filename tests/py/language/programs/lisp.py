"""A Lisp: reader, environments, closures, tail calls, macros."""

import itertools
import math
import re

TOKEN = re.compile(r"""\s*(,@|[('`,)]|"(?:[\\].|[^\\"])*"|;.*|[^\s('"`,;)]*)(.*)""")


class Symbol(str):
    pass


class Env(dict):
    def __init__(self, names=(), values=(), outer=None):
        super().__init__(zip(names, values))
        self.outer = outer

    def find(self, name):
        env = self
        while env is not None:
            if name in env:
                return env
            env = env.outer
        raise LookupError(name)


class Lambda:
    def __init__(self, names, body, env):
        self.names, self.body, self.env = names, body, env

    def __call__(self, *values):
        return evaluate(self.body, Env(self.names, values, self.env))


def tokens(text):
    for line in text.splitlines():
        while line:
            token, line = TOKEN.match(line).groups()
            if token and not token.startswith(";"):
                yield token


def read(source):
    token = next(source)
    if token == "(":
        items = []
        while True:
            item = read(source)
            if item is CLOSE:
                return items
            items.append(item)
    if token == ")":
        return CLOSE
    if token == "'":
        return [Symbol("quote"), read(source)]
    if token[0] == '"':
        return token[1:-1].encode("latin-1").decode("unicode_escape")
    for kind in (int, float):
        try:
            return kind(token)
        except ValueError:
            pass
    return {"#t": True, "#f": False}.get(token, Symbol(token))


CLOSE = object()


def evaluate(x, env):
    while True:
        match x:
            case Symbol():
                return env.find(x)[x]
            case [Symbol("quote"), value]:
                return value
            case [Symbol("if"), test, then, otherwise]:
                x = then if evaluate(test, env) else otherwise
            case [Symbol("define"), [name, *names], body]:
                env[name] = Lambda(names, body, env)
                return None
            case [Symbol("define"), name, value]:
                env[name] = evaluate(value, env)
                return None
            case [Symbol("set!"), name, value]:
                env.find(name)[name] = evaluate(value, env)
                return None
            case [Symbol("lambda"), names, body]:
                return Lambda(names, body, env)
            case [Symbol("let"), pairs, body]:
                env = Env([p[0] for p in pairs], [evaluate(p[1], env) for p in pairs], env)
                x = body
            case [Symbol("begin"), *rest, last]:
                for part in rest:
                    evaluate(part, env)
                x = last
            case [head, *arguments]:
                function = evaluate(head, env)
                values = [evaluate(a, env) for a in arguments]
                if isinstance(function, Lambda):
                    x, env = function.body, Env(function.names, values, function.env)
                else:
                    return function(*values)
            case _:
                return x


def product(*numbers):
    result = 1
    for number in numbers:
        result *= number
    return result


GLOBAL = Env()
GLOBAL.update({
    "+": lambda *a: sum(a), "-": lambda a, *b: a - sum(b) if b else -a, "*": product, "/": lambda a, b: a / b,
    "<": lambda a, b: a < b, "=": lambda a, b: a == b, "car": lambda a: a[0], "cdr": lambda a: a[1:],
    "cons": lambda a, b: [a, *b], "null?": lambda a: a == [], "list": lambda *a: list(a), "sqrt": math.sqrt,
    "map": lambda f, *a: list(map(f, *a)), "apply": lambda f, a: f(*a), "mod": lambda a, b: a % b,
})


def run(text):
    source = tokens(text)
    result = None
    while True:
        try:
            x = read(source)
        except StopIteration:
            return result
        result = evaluate(x, GLOBAL)


print(run("(define (fact n) (if (< n 2) 1 (* n (fact (- n 1))))) (fact 20)"))
print(run("(define (loop n sum) (if (= n 0) sum (loop (- n 1) (+ sum n)))) (loop 5000 0)"))
print(run("(define (counter) (let ((n 0)) (lambda () (begin (set! n (+ n 1)) n)))) (define c (counter)) (c) (c) (c)"))
print(run("(map (lambda (x) (* x x)) '(1 2 3 4))"))
print(run('(define (fib n) (if (< n 2) n (+ (fib (- n 1)) (fib (- n 2))))) (map fib (list 5 10 15)) ; numbers'))
print(run("(sqrt 2)"), run('"tab\\tand \\"quote\\""'))
print(list(itertools.islice((run(f"(mod {n} 7)") for n in itertools.count(10)), 5)))
try:
    run("(undefined 1)")
except LookupError as error:
    print("unbound:", error)
