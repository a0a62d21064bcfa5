from sympy import Matrix, diff, factor, integrate, lambdify, sin, solve, symbols

x, y = symbols("x y")
print(factor(x**3 - 1), integrate(sin(x) ** 2, x), diff(x**x, x), solve([x + y - 3, x - y - 1], [x, y]))
print(Matrix([[1, 2], [3, 4]]).eigenvals(), lambdify(x, x**2 + 1)(3))
