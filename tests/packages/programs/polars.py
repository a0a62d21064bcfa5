import polars as pl

df = pl.DataFrame({"g": ["a", "b", "a"], "x": [1, 2, 3]})
print(df.group_by("g").agg(pl.col("x").sum()).sort("g"))
df.write_csv("d.csv")
df.write_parquet("d.parquet")
print(pl.scan_parquet("d.parquet").filter(pl.col("x") > 1).collect().height, pl.read_csv("d.csv").equals(df))
