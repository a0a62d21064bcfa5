import numpy as np

a = np.arange(12.0).reshape(3, 4) + np.eye(3, 4)
print(np.linalg.svd(a, compute_uv=False).round(6))
np.save("a.npy", a)
m = np.memmap("m.bin", dtype="f8", mode="w+", shape=(10,))
m[:] = 3
m.flush()
print(np.load("a.npy").sum(), np.fromfile("m.bin").sum(), np.random.default_rng(1).integers(0, 100, 5))
