from tabulate import tabulate

print(tabulate([["a", 1], ["b", 2.5]], headers=["n", "v"], tablefmt="github"))
