"""JSON in, JSON out: exact numbers, dates, an encoder, bad input."""
import json
from datetime import date
from decimal import Decimal

TEXT = '{"orders": [{"id": 1, "price": 1.10, "day": "2024-02-29"}, {"id": 2, "price": 2.25, "day": "2024-03-01"}]}'


class Encoder(json.JSONEncoder):
    def default(self, o):
        if isinstance(o, Decimal):
            return str(o)
        if isinstance(o, date):
            return o.isoformat()
        return super().default(o)


data = json.loads(TEXT, parse_float=Decimal)
for order in data["orders"]:
    order["day"] = date.fromisoformat(order["day"])
total = sum(order["price"] for order in data["orders"])
print(json.dumps({"total": total, "last": max(order["day"] for order in data["orders"])}, cls=Encoder, sort_keys=True))
for bad in ('{"a": }', "[1, 2", ""):
    try:
        json.loads(bad)
    except json.JSONDecodeError as error:
        print(error.lineno, error.colno, error.msg)
try:
    json.dumps({1j}, cls=Encoder)
except TypeError as error:
    print(error)
