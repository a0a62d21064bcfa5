"""Reads who paid what from standard input and says who owes whom."""

import sys
from decimal import Decimal, InvalidOperation

paid: dict[str, Decimal] = {}
for number, line in enumerate(sys.stdin, 1):
    if not line.strip() or line.startswith("#"):
        continue
    name, amount, what = line.split(maxsplit=2)
    try:
        paid[name] = paid.get(name, Decimal(0)) + Decimal(amount)
    except InvalidOperation:
        print(f"line {number}: {amount!r} is no amount, left out")

share = sum(paid.values()) / len(paid)
print(f"{sum(paid.values())} for {len(paid)} people, {share:.2f} each")
owes = {name: share - amount for name, amount in sorted(paid.items())}
while (debtor := max(owes, key=lambda name: owes[name])) and owes[debtor] >= Decimal("0.005"):
    creditor = min(owes, key=lambda name: owes[name])
    amount = min(owes[debtor], -owes[creditor])
    print(f"  {debtor:5} pays {creditor:5} {amount:8.2f}")
    owes[debtor] -= amount
    owes[creditor] += amount
