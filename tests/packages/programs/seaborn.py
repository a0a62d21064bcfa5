import os

import pandas as pd
import seaborn as sns

df = pd.DataFrame({"x": [1, 2, 3, 4], "y": [2, 3, 5, 4], "g": list("abab")})
sns.scatterplot(df, x="x", y="y", hue="g").figure.savefig("s.png")
sns.heatmap(df[["x", "y"]].corr()).figure.savefig("h.png")
print(os.path.getsize("s.png") > 1000, os.path.getsize("h.png") > 1000)
