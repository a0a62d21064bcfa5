import pulp

problem = pulp.LpProblem("p", pulp.LpMaximize)
x = pulp.LpVariable("x", 0, 4)
problem += 3 * x
problem += x <= 3
problem.writeLP("p.lp")
print(open("p.lp").read().split()[:3], problem.objective)
