#!/usr/bin/python3
"""Makes the data files beside it, always the same: invented, so that they belong to nobody."""

import csv
import datetime
import pathlib
import random

HERE = pathlib.Path(__file__).parent


def access_log(rng: random.Random) -> None:
    """A web server's log of one day, in the common log format."""
    pages = ["/", "/about", "/catalogue", "/catalogue/lamps", "/catalogue/jars", "/basket", "/img/logo.png",
             "/search?q=bell", "/wp-login.php"]  # fmt: skip
    weights = [20, 5, 14, 9, 17, 6, 16, 8, 5]
    second = 0
    lines = []
    while second < 86400:
        second += int(rng.expovariate(1 / 350)) + 1
        hour = second % 86400 // 3600
        if rng.random() < abs(hour - 14) / 16:  # quiet nights
            continue
        page = rng.choices(pages, weights)[0]
        status = 404 if page == "/wp-login.php" else rng.choices([200, 304, 500], [85, 13, 2])[0]
        size = 0 if status == 304 else rng.randint(300, 40000)
        moment = datetime.datetime(2024, 3, 9) + datetime.timedelta(seconds=second % 86400)
        address = f"192.0.2.{rng.randint(1, 30)}"
        lines.append(f'{address} - - [{moment:%d/%b/%Y:%H:%M:%S} +0000] "GET {page} HTTP/1.1" {status} {size}\n')
    lines.insert(60, '192.0.2.77 - - [09/Mar/2024:09:59:59 +0000] "\\x16\\x03\\x01" 400 -\n')
    (HERE / "access.log").write_text("".join(lines))


def sales(rng: random.Random) -> None:
    """Orders of a year; some cells are empty, as they are in life."""
    prices = {"bell": 24.0, "jar": 9.5, "lamp": 41.0, "clock": 63.0}
    with open(HERE / "sales.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["date", "region", "product", "units", "price"])
        day = datetime.date(2024, 1, 1)
        while day.year == 2024:
            product = rng.choice(sorted(prices))
            units = rng.randint(1, 12) + (8 if day.month in (11, 12) else 0)
            region = rng.choice(["north", "south", "east", "west"])
            price = "" if rng.random() < 0.03 else f"{prices[product] * rng.uniform(0.9, 1.1):.2f}"
            writer.writerow([day.isoformat(), region, product, units, price])
            day += datetime.timedelta(days=rng.randint(1, 3))


def ledger(rng: random.Random) -> None:
    """A trip: each payment, with the person who made it and those for whom."""
    people = ["Ada", "Bo", "Cleo", "Dan"]
    things = ["train", "museum", "dinner", "ferry", "coffee", "tent", "bread", "map", "petrol", "soup"]
    lines = ["# who paid, how much, for what\n"]
    for thing in things * 2:
        lines.append(f"{rng.choice(people):5} {rng.randint(150, 9000) / 100:7.2f} {thing}\n")
    lines.insert(9, "Bo    twelve crisps\n")
    (HERE / "ledger.txt").write_text("".join(lines))


for make in (access_log, sales, ledger):
    make(random.Random(make.__name__))
