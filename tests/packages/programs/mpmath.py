from mpmath import findroot, mp, quad, sin, zeta

mp.dps = 30
print(zeta(3), quad(sin, [0, mp.pi]), findroot(lambda x: x**2 - 2, 1))
