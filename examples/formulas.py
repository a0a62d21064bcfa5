"""Formulas that users type, over a catalogue that they can read and not change.

The catalogue stays in this process: a formula sees views of it (`belljar.readonly`), whatever it tries."""

import dataclasses

from belljar import Policy, Sandbox, SandboxError, SessionEnded, readonly


@dataclasses.dataclass
class Product:
    name: str
    price: float
    stock: int
    tags: list[str]
    _cost: float

    @property
    def margin(self) -> float:
        return self.price - self._cost

    def discounted(self, percent: float) -> float:
        return round(self.price * (1 - percent / 100), 2)


CATALOGUE = {
    product.name: product
    for product in (
        Product("bell jar", 24.5, 12, ["glass", "decor"], 11.0),
        Product("cork base", 6.0, 40, ["wood"], 2.2),
        Product("glass dome", 39.0, 3, ["glass"], 21.5),
    )
}

FORMULAS = [
    "sum(p.price * p.stock for p in catalogue.values())",
    "max(catalogue.values(), key=lambda p: p.margin).name",
    "{name: p.discounted(10) for name, p in catalogue.items() if 'glass' in p.tags}",
    "import statistics; statistics.mean(p.price for p in catalogue.values())",
    "catalogue['bell jar'].price / 0",
    "catalogue['bell jar'].price = 0.01",
    "catalogue['bell jar']._cost",
    "catalogue.clear()",
    "catalogue['bell jar'].discounted.__globals__",
    "catalogue['bell jar'].tags.append('free')",
    "open('/etc/shadow').read()",
    "9 ** 9 ** 9",
]


def main() -> None:
    before = repr(CATALOGUE)
    view = readonly(CATALOGUE, attributes={Product: ["name", "price", "stock", "tags", "margin"]},
                    methods={Product: ["discounted"]})  # fmt: skip
    sandbox = Sandbox(Policy(timeout=1, memory="128M"))
    sandbox["catalogue"] = view
    for formula in FORMULAS:
        try:
            execution = sandbox.run_code(formula)
        except SessionEnded:  # the formula before was too much for its guest
            sandbox = Sandbox(Policy(timeout=1, memory="128M"))
            sandbox["catalogue"] = view
            execution = sandbox.run_code(formula)
        except SandboxError as error:
            print(f"{formula}\n    cannot be: {error}")
            continue
        error_text = f"{execution.error.name}: {execution.error.value}" if execution.error else ""
        print(f"{formula}\n    {error_text or execution.text}")
    sandbox.close()
    print("\nthe catalogue is", "as it was" if repr(CATALOGUE) == before else "CHANGED")


if __name__ == "__main__":
    main()
