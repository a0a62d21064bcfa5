"""A year's sales: a summary by pandas, a chart by matplotlib."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

sales = pd.read_csv("sales.csv", parse_dates=["date"])
missing = int(sales["price"].isna().sum())
sales["price"] = sales["price"].fillna(sales.groupby("product")["price"].transform("median"))
sales["revenue"] = sales["units"] * sales["price"]

sales["quarter"] = "Q" + sales["date"].dt.quarter.astype(str)
sales["month"] = sales["date"].dt.month

table = sales.pivot_table(index="product", columns="quarter", values="revenue", aggfunc="sum", margins=True)
print(f"{len(sales)} orders, {missing} without a price (the product's median taken)")
print(table.round(0).astype(int).to_string())

monthly = sales.pivot_table(index="month", columns="region", values="revenue", aggfunc="sum", fill_value=0)
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
monthly.plot.bar(stacked=True, ax=axes, width=0.85)
axes.set_xlabel("month of 2024")
axes.set_ylabel("revenue")
figure.savefig("sales.png", dpi=100)
