import attrs


@attrs.define(order=True)
class P:
    x: int = attrs.field(validator=attrs.validators.instance_of(int))


print(P(1) < P(2), attrs.asdict(P(3)), attrs.evolve(P(1), x=5))
try:
    P("a")
except TypeError as error:
    print(type(error).__name__)
