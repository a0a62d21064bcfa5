import h5py
import numpy as np

with h5py.File("f.h5", "w") as file:
    file.create_dataset("g/x", data=np.arange(10), compression="gzip")
with h5py.File("f.h5") as file:
    print(list(file["g"]), file["g/x"][2:5])
