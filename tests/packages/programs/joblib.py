from joblib import Memory, Parallel, delayed

print(Parallel(n_jobs=2)(delayed(pow)(i, 2) for i in range(6)))
print(Parallel(n_jobs=2, backend="multiprocessing")(delayed(pow)(i, 2) for i in range(4)), Parallel(n_jobs=-1)(delayed(abs)(i) for i in (-1, -2)))
twice = Memory("cache", verbose=0).cache(lambda x: 2 * x)
print(twice(4), twice(4))
