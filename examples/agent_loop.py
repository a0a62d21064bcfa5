"""An agent loop with two tools: a model writes Python, the sandbox runs it, the model reads what came of it.

The model here is a recording, so that this runs everywhere: put a call to a real one in its place. Its code never runs in
this process; the two tools do, with arguments that arrive as plain values."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from belljar import Execution, Policy, Sandbox

QUESTION = "Which customer spent most in euros, and how much?"

RECORDED = [
    # A look around first; the guess about the column's name is wrong.
    "rows = query('select customer, sum(total) from orders group by customer')",
    # The model has read the error and corrects itself.
    "rows = query('select customer, currency, sum(amount) as spent from orders group by customer, currency')\nrows",
    # The state is still there. The second tool does the conversion.
    "from collections import Counter\n"
    "euros = Counter()\n"
    "for customer, currency, spent in rows:\n"
    "    euros[customer] += spent * rate(currency, 'EUR')\n"
    "euros.most_common(1)",
    # Curious models try things.
    "open('/etc/shadow').read()",
    "name, spent = euros.most_common(1)[0]\nprint(f'ANSWER: {name}, {spent:.2f} EUR')",
]


def model(question: str) -> Iterator[str]:
    """Stands for a language model: the next piece of code for a conversation."""
    yield from RECORDED


# ---- The tools: they run here, on our side --------------------------------------------------------------------------

database = sqlite3.connect(":memory:")
database.executescript(
    """
    create table orders (customer text, currency text, amount real);
    insert into orders values ('Ada', 'EUR', 120), ('Ada', 'USD', 250), ('Grace', 'GBP', 260), ('Grace', 'EUR', 15),
                              ('Edsger', 'EUR', 310);
    pragma query_only = on;
"""
)
RATES = {"EUR": 1.0, "USD": 0.92, "GBP": 1.17}


def query(sql: str) -> list[Any]:
    """Rows of the orders database (read-only): orders(customer, currency, amount)."""
    return database.execute(sql).fetchmany(100)


def rate(source: str, target: str) -> float:
    """How much of `target` one unit of `source` is worth."""
    return RATES[source] / RATES[target]


# ---- The loop ---------------------------------------------------------------------------------------------------------


def observation(execution: Execution) -> str:
    """What the model is told."""
    if execution.error is not None:
        return execution.stdout + f"{execution.error.name}: {execution.error.value}"
    return execution.stdout + (execution.text or "")


def main() -> None:
    print(f"question: {QUESTION}")
    with Sandbox(Policy(timeout=10, memory="256M")) as sandbox:
        sandbox.expose(query, max_calls=20)
        sandbox.expose(rate, max_calls=100)
        for turn, code in enumerate(model(QUESTION), 1):
            execution = sandbox.run_code(code)
            seen = observation(execution).strip()
            print(f"\n[{turn}] " + code.replace("\n", "\n    "))
            print("  -> " + (seen[:150] + (" ..." if len(seen) > 150 else "") or "(nothing)").replace("\n", "\n     "))
            if "ANSWER:" in execution.stdout:
                return


if __name__ == "__main__":
    main()
