import pandas as pd

df = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})
df.to_parquet("df.parquet")
df.to_excel("df.xlsx", index=False)
print(pd.read_parquet("df.parquet"))
print(pd.read_excel("df.xlsx"))
print(df.to_html()[:60], df.to_json())
