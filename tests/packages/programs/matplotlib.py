import os

import matplotlib.pyplot as plt
from matplotlib.animation import FuncAnimation, PillowWriter

figure, axes = plt.subplots()
axes.plot([1, 2, 3], [1, 4, 9], label="$x^2$")
axes.legend()
for kind in ("png", "pdf", "svg"):
    plt.savefig("f." + kind)
    print(kind, os.path.getsize("f." + kind) > 1000)
FuncAnimation(figure, lambda i: axes.set_title(str(i)), frames=3).save("f.gif", writer=PillowWriter(5))
print(open("f.gif", "rb").read(6))
