"""A pandas report with a plot: the analysis runs in the sandbox, a page with its tables and figures is made of the results."""

import html
import pathlib
import sys

from belljar import Policy, Sandbox

HERE = pathlib.Path(__file__).resolve().parent
PAGE = HERE.parent / "build/report.html"

ANALYSIS = [
    """
import pandas as pd
sales = pd.read_csv("sales.csv", parse_dates=["date"]).dropna()
sales["revenue"] = sales["units"] * sales["price"]
print(f"{len(sales)} complete orders, {sales['revenue'].sum():,.0f} in all")
""",
    """
sales.groupby("region")["revenue"].agg(["count", "sum", "mean"]).round(1).sort_values("sum", ascending=False)
""",
    """
import matplotlib.pyplot as plt
weekly = sales.set_index("date")["revenue"].resample("W").sum()
weekly.plot(figsize=(6, 2.5), title="revenue by week")
plt.tight_layout()
plt.show()
""",
]


def main() -> None:
    parts = ["<!doctype html><meta charset=utf-8><title>sales</title><body style='font-family: sans-serif'>"]
    with Sandbox(Policy(timeout=60), files={"sales.csv": HERE / "data/sales.csv"}) as sandbox:
        for code in ANALYSIS:
            execution = sandbox.run_code(code, on_stdout=lambda text: print(text, end=""))
            if execution.error is not None:
                sys.exit(execution.error.traceback)
            parts.append(f"<pre>{html.escape(execution.stdout)}</pre>")
            for result in execution.results:
                if result.png is not None:
                    print("(a figure)")
                    parts.append(f"<img src='data:image/png;base64,{result.png}'>")
                elif result.html is not None:
                    print("\n".join(row.rstrip() for row in (result.text or "").splitlines()))
                    # The guest's own HTML: shown in a frame that may neither run scripts nor reach this page.
                    parts.append(f"<iframe sandbox width=500 height=200 srcdoc='{html.escape(result.html)}'></iframe>")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(parts))
    print(f"written: {PAGE.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
