import io
import sqlite3

import pandas as pd

df = pd.read_csv(io.StringIO("day,x,g\n2024-01-01,1,a\n2024-01-02,2,b\n2024-02-01,3,a\n"), parse_dates=["day"])
print(df.groupby("g").x.agg(["sum", "mean"]))
print(df.set_index("day").x.resample("MS").sum())
df.to_pickle("df.pkl")
df.to_csv("df.csv")
with sqlite3.connect("df.db") as connection:
    df.to_sql("t", connection)
    print(pd.read_sql("select g, sum(x) s from t group by g", connection))
print(pd.read_pickle("df.pkl").equals(df), pd.read_csv("df.csv").shape)
