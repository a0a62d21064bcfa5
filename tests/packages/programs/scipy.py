from scipy import integrate, optimize, signal, sparse, stats

print(round(integrate.quad(lambda x: x * x, 0, 3)[0], 8))
print(optimize.minimize(lambda v: (v[0] - 1) ** 2 + (v[1] + 2) ** 2, [0, 0]).x.round(3))
print(stats.norm.cdf(1.96).round(6), signal.butter(2, 0.3)[0].round(6), sparse.eye(4).tocsr().nnz)
