"""numpy's and pandas' objects as parts that the codec knows, and back: arrays of other kinds than numbers, indexes, series, frames.

values/library.c calls take_apart() and put_together(). The codec itself (values/*.c) does builtin types and arrays of plain numbers,
counts what a value costs and refuses what is over a limit; here stands what is pandas' and numpy's business. No library is imported
until a value has something of it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from _operator import itemgetter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from typing import Any

    # Of an object that is sent: its parts (how many, which, elements and bytes of memory that they cost beside themselves), or another
    # object in its place, or a stand-in: with a reason, or with its repr.
    Parts = tuple[int, Iterable[Any], int, int] | tuple[Any] | str | None
    # Of an object that is made: elements and bytes of memory that it will cost, and labels that will be keys.
    Cost = tuple[int, int, list[Any] | None]
    Making = Generator[Cost, None, Any]

UNITS = frozenset(("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns"))  # of datetime64 and timedelta64
DIMENSIONS_MAX = 32
EXTENT_MAX = 1 << 62  # more than any limit of elements
CHARACTER = {"U": 4, "S": 1}  # bytes of one, in an array
# Charges in elements, the same in both directions.
COLUMN = 12
LEVEL = 64  # of a MultiIndex
# What `array[:] = items` does not look into, as it would into lists.
ATOMS = frozenset((bool, int, float, complex, str, bytes, type(None)))

absent: set[str] = set()  # libraries that cannot be imported here


class Malformed(ValueError):
    """Parts that make no object."""


def library(name: str) -> Any:
    """A library, imported now if it is not yet; None where there is none."""
    if name in absent:
        return None
    try:
        return __import__(name)
    except MemoryError:
        raise
    except Exception:
        absent.add(name)
        return None


def is_time(code: str) -> bool:
    """Whether a dtype's code is "<M8[unit]" or "<m8[unit]", with a unit that numpy has."""
    return code[:4] in ("<M8[", "<m8[") and code[-1] == "]" and code[4:-1] in UNITS


def extent_of(shape: Iterable[int]) -> tuple[int, int]:
    """How many items an array of these dimensions has, and how many rows: without items it may have any number of them, each
    of which is an object to whoever goes through them."""
    items = rows = 1
    for extent in shape:
        items *= extent
        rows *= extent or 1
    return items, min(rows, EXTENT_MAX)


def longest(items: list[Any]) -> int:
    """The width of the longest text or bytes, at least 1: an array of them takes its room for each."""
    return max(map(len, items), default=1) or 1


# ---- To parts ----


def array_parts(array: Any, is_key: bool, most: int, is_lent: bool) -> Parts:
    """["ndarray", dtype, array of the bits] for bools and moments, ["ndarray", "O" | "U" | "S", dimensions, items]; an object of
    a derived class as the array that it is, one in the other byte order as a copy in this one."""
    numpy = sys.modules["numpy"]
    if type(array) is not numpy.ndarray:
        return None if is_masked(array) else (array.view(numpy.ndarray),)
    code: str = array.dtype.str
    if code[0] == ">":
        return (array.astype("<" + code[1:]),)
    if is_time(code) or code == "|b1":
        return 2, (code, array.view("|u1" if code == "|b1" else "<i8")), 0, 0
    letter = code[1]
    if letter not in "OUS":
        return None
    if letter != "O" and array.nbytes // CHARACTER[letter] > most:  # as wide over there
        return "too large to send"
    flat = array.ravel()
    items: list[Any] = flat.tolist()
    rows = 0 if items else extent_of(array.shape)[1]
    memory = 0 if letter == "O" else len(items) * CHARACTER[letter] * width_of(flat, letter, items)
    return 3, (letter, list(array.shape), items), rows, memory


def width_of(flat: Any, letter: str, items: list[Any]) -> int:
    """longest(items) of a flat array of strings. Most have an item that fills its room, which is seen sooner."""
    width: int = flat.itemsize // CHARACTER[letter]
    if width > 0:
        last = flat.view("u%d" % CHARACTER[letter])[width - 1 :: width]
        if last.tobytes().strip(b"\0"):  # not any(), which imports: too late under a language policy
            return width
    return longest(items)


def is_masked(array: Any) -> bool:
    """Whether it is a masked array: its items alone would say something else."""
    try:
        array.mask
    except Exception:
        return False
    return True


def number_parts(number: Any, is_key: bool, most: int, is_lent: bool) -> Parts:
    """A number of numpy's, as Python's. One without a twin there is not sent (longdouble); one that would lose its unit goes
    as an array without dimensions (datetime64[ns] would become an int)."""
    if is_time(number.dtype.str):
        return None if is_key else (sys.modules["numpy"].array(number),)
    item = number.item()
    return None if type(item) is type(number) else (item,)


def column_values(column: Any) -> Any:
    """The values of a series, column or index. Kinds of numbers that have no typed array go one by one."""
    array = column.to_numpy()
    code = array.dtype.str
    return array.astype(object) if code in ("<f16", "<c32") or code[1] == "V" else array


def index_parts(index: Any, is_key: bool, most: int, is_lent: bool) -> Parts:
    """["Index", [names…], values]: values are a range, an array, or a list of tuples (MultiIndex)."""
    pandas = sys.modules["pandas"]
    names = list(index.names)
    if type(index) is pandas.RangeIndex:
        if not is_lent and len(index) > most:
            raise ValueError("an index with more rows than there can be")
        return 2, (names, range(index.start, index.stop, index.step)), 0, 0
    if type(index) is pandas.MultiIndex:
        return 2, (names, index.tolist()), LEVEL * len(names), 0
    return 2, (names, column_values(index)), len(index), 0


def series_parts(series: Any, is_key: bool, most: int, is_lent: bool) -> Parts:
    """["Series", name, index, array]"""
    return 3, (series.name, series.index, column_values(series)), 0, 0


def frame_parts(frame: Any, is_key: bool, most: int, is_lent: bool) -> Parts:
    """["DataFrame", columns, index, arrays…]"""
    width = len(frame.columns)
    return width + 2, frame_cells(frame), COLUMN * width, 0


def frame_cells(frame: Any) -> Iterator[Any]:
    """One after the other: a column may be a copy."""
    yield frame.columns
    yield frame.index
    for _, column in frame.items():
        yield column_values(column)


PARTS: dict[str, Callable[[Any, bool, int, bool], Parts]] = {
    "ndarray": array_parts,
    "number": number_parts,
    "Index": index_parts,
    "Series": series_parts,
    "DataFrame": frame_parts,
}


def take_apart(kind: str, thing: Any, is_key: bool, most: int, is_lent: bool) -> Parts:
    """What an object of a kind is sent as. `is_key`: it has to have a hash over there. `most`: the limit of bytes. `is_lent`: large arrays
    go beside the value, in shared memory."""
    return PARTS[kind](thing, is_key, most, is_lent)


# ---- From parts: what a guest sent, each of a builtin type, an array of numbers, or what was made here ----


def make_array(arguments: tuple[Any, ...], record: Any, most: int, is_lent: bool) -> Making:
    if len(arguments) < 2 or type(arguments[0]) is not str:
        raise Malformed("an array without dtype")
    code = arguments[0]
    if len(arguments) == 2:
        return array_of_bits(code, arguments[1], record, is_lent)
    if len(arguments) != 3 or code not in ("O", "U", "S"):
        raise Malformed("unknown dtype")
    dimensions, items = arguments[1:]
    if type(dimensions) is not list or type(items) is not list or len(dimensions) > DIMENSIONS_MAX:
        raise Malformed("an array without dimensions or items")
    if any(type(extent) is not int or not 0 <= extent < 1 << 63 for extent in dimensions):
        raise Malformed("dimensions too large")
    count, rows = extent_of(dimensions)
    if not count:
        yield rows, 0, None
    if count != len(items):
        raise Malformed("dimensions do not fit the array" if count < 1 << 64 else "dimensions too large")
    kinds = set(map(type, items))
    if code != "O":
        if not kinds <= {str if code == "U" else bytes}:
            raise Malformed("an array of strings with something else")
        widest = longest(items)
        yield 0, count * widest * CHARACTER[code], None
    numpy = library("numpy")
    if numpy is None:
        return record("numpy.ndarray", {"dtype": code, "shape": dimensions, "data": items})
    if code != "O":
        return numpy.array(items, "%s%d" % (code, widest)).reshape(dimensions)
    array = numpy.empty((count,), object)
    if kinds <= ATOMS:
        array[:] = items
    else:  # one by one: numpy would look into items that are sequences
        for place, item in enumerate(items):
            array[place] = item
    return array.reshape(dimensions)


def array_of_bits(code: str, bits: Any, record: Any, is_lent: bool) -> Any:
    """Bools and moments, from the array of their bits."""
    is_bool = code == "|b1"
    if not is_bool and not is_time(code):
        raise Malformed("unknown dtype")
    numpy = library("numpy")
    if numpy is None:
        return record("numpy.ndarray", {"dtype": code, "data": bits})
    if type(bits) is not numpy.ndarray:
        raise Malformed("not an array")
    if bits.dtype.str != ("|u1" if is_bool else "<i8"):
        raise Malformed("unknown dtype")
    # A bool has one of two values, whatever the bytes are. (Lent ones are the host's own.)
    return bits.astype(code) if is_bool and not is_lent else bits.view(code)


def is_column(thing: Any, length: int | None, record: Any) -> bool:
    """Whether it can be a column or an index's values: an array of one dimension with so many items (any number if None: pandas
    would repeat a single one for each row), or the record of one where there is no numpy."""
    numpy = library("numpy")
    if numpy is None:
        return type(thing) is record
    return type(thing) is numpy.ndarray and thing.ndim == 1 and length in (None, len(thing))


def is_index(thing: Any, record: Any) -> bool:
    pandas = library("pandas")
    return type(thing) is record if pandas is None else isinstance(thing, pandas.Index)


def index_size(index: Any, record: Any) -> int | None:
    """Its rows; None for the record of one."""
    return None if type(index) is record else len(index)


def make_index(arguments: tuple[Any, ...], record: Any, most: int, is_lent: bool) -> Making:
    names, values = arguments
    is_range, is_multi = type(values) is range, type(values) is list
    if type(names) is not list or not names:
        raise Malformed("an index without names or values")
    if is_multi:
        if not (set(map(type, values)) <= {tuple} and set(map(len, values)) <= {len(names)}):
            raise Malformed("an index whose rows are not tuples")
    elif is_range:
        if not is_lent and range_size(values) > most:
            raise Malformed("an index with more rows than there can be")
    elif not is_column(values, None, record):
        raise Malformed("an index of something else")
    pandas = library("pandas")
    if pandas is None:
        return record("pandas.Index", {"names": names, "values": values})
    if is_multi:
        index = yield from multi_index(pandas, values, len(names))
    elif is_range:
        index = pandas.RangeIndex(values)
    else:
        if values.dtype == object:  # a dict to whoever looks something up in it, and pandas builds that itself
            yield len(values), 0, values.tolist()
        index = pandas.Index(values)
    index.names = names
    return index


def range_size(values: range) -> int:
    """len(), which fails for more than fit into a machine's word."""
    return max(0, -((values.start - values.stop) // values.step))


def multi_index(pandas: Any, rows: list[tuple[Any, ...]], width: int) -> Making:
    """From rows. Not by pandas' from_tuples, whose hash tables know no limit of equal hashes and hold the interpreter's lock."""
    levels, codes = [], []
    for column in range(width):
        labels = list(map(itemgetter(column), rows))
        yield LEVEL, 0, labels
        places = dict.fromkeys(labels, -1)
        level = in_order([label for label in places if not is_missing(label)])
        places.update(zip(level, range(len(level))))
        codes.append(list(map(places.__getitem__, labels)))
        levels.append(pandas.Index(level, tupleize_cols=False))
    return pandas.MultiIndex(levels=levels, codes=codes, verify_integrity=False)


def is_missing(label: Any) -> bool:
    """None and NaN: a missing label, which has no place in a level."""
    return label is None or (type(label) is float and label != label)


def in_order(level: list[Any]) -> list[Any]:
    """Sorts what pandas would sort: labels of one type that has an order."""
    ordered: set[type] = {int, float, str, bytes, bool}
    if datetime := sys.modules.get("datetime"):
        ordered |= {datetime.datetime, datetime.date, datetime.time, datetime.timedelta}
    kinds = set(map(type, level))
    if len(kinds) == 1 and kinds <= ordered:
        try:
            level.sort()
        except TypeError:
            pass  # moments with and without a zone
    return level


def make_series(arguments: tuple[Any, ...], record: Any, most: int, is_lent: bool) -> Making:
    if len(arguments) != 3 or not is_index(arguments[1], record):
        raise Malformed("a series without index or array")
    name, index, values = arguments
    if not is_column(values, index_size(index, record), record):
        raise Malformed("a series without index or array")
    yield 0, 0, None
    pandas = library("pandas")
    if pandas is None:
        return record("pandas.Series", {"name": name, "index": index, "values": values})
    series = pandas.Series(values, index)
    series.name = name
    return series


def make_frame(arguments: tuple[Any, ...], record: Any, most: int, is_lent: bool) -> Making:
    if len(arguments) < 2 or not is_index(arguments[0], record) or not is_index(arguments[1], record):
        raise Malformed("a frame without columns or index")
    columns, index, *arrays = arguments
    yield COLUMN * len(arrays), 0, None
    length = index_size(index, record)
    if not all(is_column(array, length, record) for array in arrays):
        raise Malformed("a column is not an array, or too short")
    pandas = library("pandas")
    if pandas is None:
        return record("pandas.DataFrame", {"columns": columns, "index": index, "values": arrays})
    # Not a copy: the arrays are nobody else's, or shared memory.
    frame = pandas.DataFrame(dict(enumerate(arrays)), index, copy=False)
    frame.columns = columns
    return frame


MAKERS: dict[str, Callable[[tuple[Any, ...], Any, int, bool], Making]] = {
    "ndarray": make_array,
    "Index": make_index,
    "Series": make_series,
    "DataFrame": make_frame,
}


def put_together(kind: str, arguments: tuple[Any, ...], record: Any, most: int, is_lent: bool) -> Generator[Cost | str, None, Any]:
    """Makes an object of a kind, step by step: yields what each costs before it is done, and in place of a cost why these parts make
    no object. `record` is the class Record, `most` the limit of bytes, `is_lent`: large arrays lie beside the value."""
    try:
        return (yield from MAKERS[kind](arguments, record, most, is_lent))
    except Malformed as error:
        yield str(error)
