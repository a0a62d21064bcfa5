from ortools.linear_solver import pywraplp
from ortools.sat.python import cp_model

model = cp_model.CpModel()
x, y = model.new_int_var(0, 10, "x"), model.new_int_var(0, 10, "y")
model.add(x + 2 * y <= 14)
model.maximize(3 * x + 4 * y)
solver = cp_model.CpSolver()
solver.parameters.num_workers = 1
print(solver.status_name(solver.solve(model)), solver.objective_value)
linear = pywraplp.Solver.CreateSolver("GLOP")
a = linear.NumVar(0, 5, "a")
linear.Maximize(2 * a)
linear.Solve()
print(a.solution_value())
