"""What the dearest value of each kind costs: `value_costs.py LIMIT_BYTES LIMIT_ELEMENTS FILE` decodes the file's bytes and prints
what it took (as JSON); `ROWS` are the values, each as a function of the two limits. Used by test_value_costs.py."""

from __future__ import annotations

import json
import struct
import sys
import time

P = 2**61 - 1  # hashes of numbers are residues of it


def head(major, number):
    major <<= 5
    if number < 24:
        return bytes([major | number])
    for info, form in ((24, ">BB"), (25, ">BH"), (26, ">BI"), (27, ">BQ")):
        if number < 1 << 8 * (struct.calcsize(form) - 1):
            return struct.pack(form, major | info, number)
    raise ValueError(number)


def text(value):
    data = value.encode()
    return head(3, len(data)) + data


def blob(data):
    return head(2, len(data)) + data


def many(count, *items):
    """A list of so many, which repeat."""
    return head(4, count * len(items)) + b"".join(items) * count


def items(parts):
    parts = list(parts)
    return head(4, len(parts)) + b"".join(parts)


def kind(name, *arguments):
    return b"\xd8\x1b" + head(4, 1 + len(arguments)) + text(name) + b"".join(arguments)


def big(number):
    return b"\xc2" + blob(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def typed(tag, data, *shape):
    return b"\xd8\x28\x82" + items(head(0, extent) for extent in shape) + b"\xd8" + bytes([tag]) + blob(data)


def strings(letter, *parts):
    return kind("ndarray", text(letter), items([head(0, len(parts))]), items(parts))


def double(value):
    return b"\xfb" + struct.pack(">d", value)


def index(*rows):
    return kind("Index", items([b"\xf6"]), items(rows))


def whole(length, n, item, elements=1):
    """An item, as often as the limits allow."""
    return many(min((length - 16) // len(item), (n - 8) // elements), item)


def repeated(length, n, one):
    return whole(length, n, one, max(1, n // 1000))


DAY = b"\xd8\x64"
ROWS = {
    # Strings, and what is as wide as its widest
    "one text with one wide character": lambda b, n: text("a" * (b - 32) + "\U0001f600"),
    "one bytes": lambda b, n: blob(bytes(b - 16)),
    "one bytearray": lambda b, n: kind("bytearray", blob(bytes(b - 64))),
    "short texts": lambda b, n: whole(b, n, text("\U0001f600")),
    "arrays of strings, one item of each wide": lambda b, n: many(
        8 * b // (1 << 23), strings("U", text("x" * 65_000), *[b"\x60"] * 999)),
    "one array of strings, one item wide": lambda b, n: strings("U", text("x" * 65_000), *[b"\x60"] * (n // 2)),
    "arrays of bytes, one item of each wide": lambda b, n: many(
        40 * b // (1 << 23), strings("S", blob(b"x" * 65_000), *[b"\x40"] * 999)),
    "arrays of strings in tables": lambda b, n: kind(
        "DataFrame", kind("Index", items([b"\xf6"]), kind("range", b"\x00", b"\x18\x40", b"\x01")),
        kind("Index", items([b"\xf6"]), kind("range", b"\x00", head(0, 1000), b"\x01")),
        *[strings("U", text("x" * 65_000), *[b"\x60"] * 999)] * 64),
    # Many small things
    "empty lists": lambda b, n: whole(b, n, b"\x80", 2),
    "empty dicts": lambda b, n: whole(b, n, b"\xa0", 4),
    "dicts of one": lambda b, n: whole(b, n, b"\xa1\x60\x00", 6),
    "empty sets": lambda b, n: whole(b, n, b"\xd9\x01\x02\x80", 4),
    "tuples of one": lambda b, n: whole(b, n, kind("tuple", b"\x00"), 3),
    "records": lambda b, n: whole(b, n, kind("record", b"\x60", b"\xa0"), 14),
    "opaques": lambda b, n: whole(b, n, kind("opaque", b"\x60", b"\x60"), 9),
    "floats": lambda b, n: whole(b, n, double(1.5)),
    "large ints": lambda b, n: whole(b, n, big(2**70)),
    "dict of ints": lambda b, n: head(5, n // 2 - 4) + b"".join(head(0, i) + b"\x00" for i in range(n // 2 - 4)),
    "dict of floats": lambda b, n: head(5, n // 2 - 4) + b"".join(double(i + 0.5) + b"\x00" for i in range(n // 2 - 4)),
    "set of floats": lambda b, n: b"\xd9\x01\x02" + items(double(i + 0.5) for i in range(n // 2 - 4)),
    "dates": lambda b, n: whole(b, n, DAY + b"\x00"),
    "moments": lambda b, n: whole(
        b, n, kind("datetime", b"\x19\x07\xd0", b"\x01", b"\x01", b"\x00", b"\x00", b"\x00", b"\x00", b"\xf6", b"\x00"), 12),
    "timezones": lambda b, n: whole(b, n, kind("timezone", kind("timedelta", b"\x00", b"\x00", b"\x01")), 9),
    "decimals": lambda b, n: whole(b, n, kind("Decimal", text("1E999999")), 6),
    "one long decimal": lambda b, n: kind("Decimal", text("9" * (b - 64))),
    "fractions": lambda b, n: whole(b, n, b"\xd8\x1e\x82\x01\x02", 7),
    "one large fraction": lambda b, n: b"\xd8\x1e\x82" + big(2**90_000 + 1) + big(3**50_000),
    "uuids": lambda b, n: whole(b, n, b"\xd8\x25" + blob(bytes(16)), 7),
    "paths": lambda b, n: whole(b, n, kind("Path", text("a/b")), 14),
    "paths of many parts": lambda b, n: kind("Path", text("/".join(map(str, range(b // 8))))),
    "paths of parts, as many as may be": lambda b, n: items(
        kind("PureWindowsPath", text("\\".join(f"{i}x{j}" for j in range(1000)))) for i in range(n // 3100)),
    "zones that there are not": lambda b, n: items(
        kind("datetime", b"\x19\x07\xd0", b"\x01", b"\x01", b"\x00", b"\x00", b"\x00", b"\x00",
             kind("ZoneInfo", text(f"Nowhere/n{i}"), b"\xf6"), b"\x00") for i in range(1000)),
    "ranges": lambda b, n: whole(b, n, kind("range", b"\x00", b"\x01", b"\x01"), 8),
    "shared lists": lambda b, n: many(n // 4, b"\xd8\x1c\x80"),
    # Arrays and tables
    "one array": lambda b, n: typed(86, bytes((b - 64) // 8 * 8), (b - 64) // 8),
    "one array of bools": lambda b, n: kind("ndarray", text("|b1"), typed(64, bytes(b - 64), b - 64)),
    "one flat array": lambda b, n: b"\xd8\x56" + blob(bytes((b - 64) // 8 * 8)),
    "small arrays": lambda b, n: whole(b, n, typed(64, b"", 0), 10),
    "small flat arrays": lambda b, n: whole(b, n, b"\xd8\x40\x40", 9),
    "arrays of objects": lambda b, n: whole(b, n, strings("O", b"\x00"), 17),
    "one array of objects": lambda b, n: strings("O", *[b"\x00"] * (n - 64)),
    "an array with rows of nothing": lambda b, n: typed(86, b"", 1 << 40, 0),
    "an array of rows of nothing, of objects": lambda b, n: kind(
        "ndarray", text("O"), items([head(0, 1 << 40), b"\x00"]), b"\x80"),
    "tables without rows": lambda b, n: whole(
        b, n, kind("DataFrame", *[kind("Index", items([b"\xf6"]), kind("range", b"\x00", b"\x00", b"\x01"))] * 2), 410),
    "one table of many columns": lambda b, n: kind(
        "DataFrame", kind("Index", items([b"\xf6"]), kind("range", b"\x00", head(0, n // 24), b"\x01")),
        kind("Index", items([b"\xf6"]), kind("range", b"\x00", b"\x00", b"\x01")), *[typed(64, b"", 0)] * (n // 24)),
    "small series": lambda b, n: whole(
        b, n, kind("Series", b"\xf6", kind("Index", items([b"\xf6"]), kind("range", b"\x00", b"\x00", b"\x01")),
                   typed(64, b"", 0)), 215),
    "a column of one value for many rows": lambda b, n: kind(
        "Series", b"\xf6", kind("Index", items([b"\xf6"]), kind("range", b"\x00", head(0, 1 << 26), b"\x01")),
        typed(86, bytes(8))),
    "one of the kind for a table": lambda b, n: kind(
        "DataFrame", kind("Index", items([b"\xf6"]), kind("range", b"\x00", b"\x01", b"\x01")),
        kind("Index", items([b"\xf6"]), kind("range", b"\x00", head(0, 1 << 26), b"\x01")), typed(86, bytes(8), 1)),
    "more rows than there can be": lambda b, n: kind(
        "DataFrame", kind("Index", items([b"\xf6"]), kind("range", b"\x00", b"\x00", b"\x01")),
        kind("Index", items([b"\xf6"]), kind("range", b"\x00", head(0, 1 << 60), b"\x01"))),
    "index of strings": lambda b, n: kind("Index", items([b"\xf6"]), strings("O", *[text(f"r{i}") for i in range(n // 2)])),
    "index of floats": lambda b, n: kind("Index", items([b"\xf6"]), strings("O", *[double(i + 0.5) for i in range(n // 2)])),
    "index of rows": lambda b, n: index(*[kind("tuple", double(i + 0.5)) for i in range(n // 4)]),
    "index of levels": lambda b, n: kind("Index", items([b"\xf6"] * (n // 67)), b"\x80"),
    # Equal hashes
    "dict of equal hashes": lambda b, n: head(5, n // 8) + b"".join(big(2**61 + i * P) + b"\x00" for i in range(n // 8)),
    "set of equal hashes": lambda b, n: b"\xd9\x01\x02" + items(big(2**61 + i * P) for i in range(n // 8)),
    "index of equal hashes": lambda b, n: kind("Index", items([b"\xf6"]), strings("O", *[big(2**61 + i * P) for i in range(n // 4)])),
    "index of rows of equal hashes": lambda b, n: index(*[kind("tuple", big(2**61 + i * P)) for i in range(n // 4)]),
    "index of rows, the last of a thousand equal hashes": lambda b, n: index(
        *[kind("tuple", big(2**61 + i * P)) for i in range(1000)], *[kind("tuple", big(2**61 + 999 * P))] * (n // 5)),
    "dict of decimals with an int's hash": lambda b, n: head(5, 500) + big(2**65_000 * 2**61 % P + P * 2**60_000) + b"\x00" + b"".join(
        kind("Decimal", text(f"{(2**65_000 * 2**61 % P) * pow(10, -e, P) % P}E{e}")) + b"\x00" for e in range(10_000, 10_499)),
}  # fmt: skip


def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


def main():
    import numpy  # noqa: F401
    import pandas

    from belljar._core import core

    pandas.DataFrame({"a": [1]}, index=pandas.MultiIndex.from_tuples([(1,)]))
    warm = core.encode_value([pandas.DataFrame({"a": ["x", "y"]}), numpy.array(["a"]), __import__("uuid").uuid4(),
                              __import__("pathlib").Path("/a"), __import__("decimal").Decimal(1),
                              __import__("fractions").Fraction(1, 2), __import__("array").array("b"),
                              __import__("zoneinfo").ZoneInfo("UTC")])  # fmt: skip
    core.decode_value(warm)
    most_bytes, elements = map(int, sys.argv[1:3])
    with open(sys.argv[3], "rb") as file:
        data = file.read()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before, began, costs = peak(), time.process_time(), []
    try:
        core.decode_value(data, bytes=most_bytes, elements=elements, costs=costs)
        error = None
    except ValueError as refusal:
        error = str(refusal)
    print(json.dumps({"seconds": time.process_time() - began, "bytes": peak() - before, "counted": (costs or [None])[0],
                      "error": error}))  # fmt: skip


if __name__ == "__main__":
    main()
