"""Arrays on their way in: by sealed shared memory, without a copy, read only (docs/values.md, "Large arrays")."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import mmap
import os

import belljar
import looking
import numpy
import pytest
from belljar import AsyncSandbox, GuestError, Policy, Record, Sandbox, SandboxConfig, SandboxExecutor, Template
from belljar._core import core
from belljar._session import LEND_LEAST, Lending, encode

pytestmark = pytest.mark.core

F_GET_SEALS = 1034
SEAL_SEAL, SEAL_SHRINK, SEAL_GROW, SEAL_WRITE, SEAL_FUTURE_WRITE = 1, 2, 4, 8, 16
MILLION = 1_000_000


@pytest.fixture(scope="module")
def template():
    with Template(Policy(memory="256M", timeout=60), preload=["numpy", "pandas"], parked=1) as template:
        yield template


@pytest.fixture
def sandbox(template):
    with Sandbox(template=template) as sandbox:
        yield sandbox


def memfds() -> list[int]:
    """This process's descriptors of lent memory."""
    gc.collect()  # a failed test before this one may hold some
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("/memfd:belljar-array"):
                found.append(int(name))
        except OSError:
            pass
    return found


def supervisor_descriptors() -> int:
    """How many it has; 0 where only root may look."""
    try:
        return len(os.listdir(f"/proc/{looking.supervisors()[-1]}/fd"))
    except PermissionError:
        return 0


# ---- What arrives ---------------------------------------------------------------------------------------------------

ARRAYS = {
    "float": numpy.linspace(0, 1, MILLION),
    "int8": (numpy.arange(MILLION) % 100).astype(numpy.int8),
    "bool": numpy.arange(MILLION) % 3 == 0,
    "complex": numpy.arange(MILLION) * 1j,
    "float16": numpy.ones(MILLION, numpy.float16),
    "moments": numpy.arange(MILLION).astype("M8[s]"),
    "differences": numpy.arange(MILLION).astype("m8[ms]"),
    "the other byte order": numpy.arange(MILLION, dtype=">i4"),
    "three dimensions": numpy.arange(MILLION).reshape(10, 100, 1000),
    "columns first": numpy.asfortranarray(numpy.arange(MILLION).reshape(1000, 1000)),
    "every second": numpy.arange(MILLION)[::2],
    "backwards": numpy.arange(MILLION)[::-1],
    "small": numpy.arange(10),
    "one": numpy.array(2.5),
    "none": numpy.zeros((0, 3)),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_is_there_as_it_was(sandbox, name):
    array = ARRAYS[name]
    sandbox["x"] = array
    seen = sandbox.run_code("x.dtype.str.replace('>', '<'), x.shape, x.flags.writeable, str(x.ravel()[-1:]), x.nbytes").value
    lent = array.nbytes >= LEND_LEAST
    assert seen == (array.dtype.str.replace(">", "<"), array.shape, not lent, str(array.ravel()[-1:]), array.nbytes)
    assert numpy.array_equal(sandbox["x"], array)  # and back, by copy
    assert bool(getattr(encode(array), "memory", None)) == lent


OTHERS = [
    numpy.array(["a", "bcd"]), numpy.array([b"a", b"bc"]), numpy.array([True, False]), numpy.array(["2020", "NaT"], "M8[s]"),
    numpy.array([1, "x", None], object), numpy.array([1, 2], ">i4"), numpy.arange(3.0).view(numpy.ndarray),
]  # fmt: skip


@pytest.mark.parametrize("preload", [(), ("numpy",)], ids=["alone", "preloaded"])
def test_arrays_of_every_kind_cross_under_a_language_policy(preload):
    config = SandboxConfig("stdout")
    config.allow_module("numpy", "array")  # there the guest's Python may import nothing once a program has begun
    with Sandbox(config, preload=preload) as sandbox:
        for array in OTHERS:
            sandbox["x"] = array
            found = sandbox["x"]
            assert type(found) is numpy.ndarray and found.dtype == array.dtype.newbyteorder("=")
            assert repr(found.tolist()) == repr(array.tolist())


def test_arrays_arrive_as_records_where_a_language_policy_has_no_numpy():  # the twin
    with Sandbox(SandboxConfig("stdout")) as sandbox:
        sandbox["x"] = numpy.array(["a"])
        assert sandbox["x"] == Record("numpy.ndarray", {"dtype": "U", "shape": [1], "data": ["a"]})


def test_arrays_lie_anywhere_in_a_value_and_shared_ones_stay_shared(sandbox):
    array = numpy.arange(MILLION)
    sandbox["x"] = {"a": [array, (array, "text")], "b": array[:100_000]}
    assert sandbox.run_code("x['a'][0] is x['a'][1][0], x['a'][1][1], int(x['b'].sum())").value == (
        True,
        "text",
        int(array[:100_000].sum()),
    )


def test_many_arrays_go_in_one_value(sandbox):
    arrays = [numpy.full(50_000, number) for number in range(100)]
    sandbox["x"] = arrays
    assert sandbox.run_code("[int(a[-1]) for a in x] == list(range(100))").value is True


def test_of_very_many_arrays_the_largest_are_lent(sandbox, monkeypatch):
    monkeypatch.setattr("belljar._session.LEND_MOST", 100)
    arrays = [*belljar.empty((120, LEND_LEAST // 8)), belljar.empty(LEND_LEAST)]
    arrays[-1][-1] = 5
    assert len(encode(arrays[-100:]).memory) == 100
    assert len(encode(arrays).memory) == 1
    sandbox["x"] = arrays
    assert sandbox.run_code("float(x[-1][-1]), [a.flags.writeable for a in x].count(False)").value == (5.0, 1)


def test_a_table_goes_column_by_column(sandbox):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"n": numpy.arange(MILLION), "f": numpy.linspace(0, 1, MILLION), "t": ["x", "y"] * (MILLION // 2)})
    sandbox["table"] = table
    assert sandbox.run_code("int(table.n.sum()), float(table.f.mean()), table.t[1], table.shape").value == (
        int(table.n.sum()), float(table.f.mean()), "y", (MILLION, 3))  # fmt: skip
    sandbox["series"] = table.f
    assert sandbox.run_code("float(series.max())").value == 1.0


def test_arguments_names_and_answers_are_lent_as_well(sandbox):
    array = numpy.arange(MILLION)
    assert sandbox.call(lambda numbers, *, more: (int(numbers.sum()), more.flags.writeable), array, more=array) == (
        int(array.sum()),
        False,
    )
    names = {"array": array}
    sandbox.execute("total = int(array.sum())", names)
    assert names["total"] == int(array.sum())
    sandbox.expose(lambda: [array, array + 1], "load")
    assert sandbox.run_code("a, b = load()\nint((b - a).sum()), a.flags.writeable").value == (MILLION, False)


def test_event_loops_and_executors_lend_them(template):
    array = numpy.arange(MILLION)

    async def main() -> object:
        async with AsyncSandbox(template=template) as sandbox:
            await sandbox.set("x", array)
            await sandbox.set("y", array, copy=True)
            await sandbox.expose(lambda: array, "load")
            return (await sandbox.run_code("y[0] = 3\nint(x.sum()), x.flags.writeable, int(y[0]), int(load()[7])")).value

    assert asyncio.run(main()) == (int(array.sum()), False, 3, 7)
    with SandboxExecutor(max_workers=1, preload=["numpy"]) as pool:
        assert pool.submit(lambda numbers: int(numbers.sum()), array).result() == int(array.sum())


def test_the_profile_without_files_has_them():
    with Sandbox(Policy(profile="compute"), preload=["numpy"]) as sandbox:
        sandbox["x"] = numpy.arange(MILLION)
        assert sandbox.run_code("int(x.sum())").value == MILLION * (MILLION - 1) // 2


def test_a_branch_sees_what_its_session_was_lent(sandbox):
    sandbox["x"] = numpy.arange(MILLION)
    try:
        twin = sandbox.fork()
    except belljar.SandboxError as error:
        assert "user namespaces" in str(error)
        return
    with twin:
        sandbox.run_code("del x")
        assert twin.run_code("int(x.sum())").value == MILLION * (MILLION - 1) // 2


# ---- No copy --------------------------------------------------------------------------------------------------------


def test_more_than_the_memory_limit_can_be_lent_and_read(sandbox):
    array = belljar.empty(80 * MILLION)  # 640 MB; the limit is 256
    array[:] = 1
    sandbox["x"] = array
    assert sandbox.run_code("float(x.sum())").value == 80 * MILLION
    assert sandbox.run_code("float(x.sum())").value == 80 * MILLION


def test_what_is_lent_gives_no_memory_to_spend(sandbox):
    """The twin: the guest's own memory is limited as before."""
    sandbox["x"] = belljar.empty(80 * MILLION)
    assert sandbox.run_code("import numpy\ny = numpy.ones(60 * 1000 * 1000)").verdict == "memory"


def test_a_copy_counts_and_may_be_written_to(template):
    array = numpy.zeros(MILLION)
    with Sandbox(template=template) as sandbox:
        sandbox.set("x", array, copy=True)
        assert sandbox.run_code("x[3] = 4\nx.flags.writeable, float(x.sum())").value == (True, 4.0)
        assert array[3] == 0
        with pytest.raises(GuestError, match="MemoryError"):
            sandbox.set("y", belljar.empty(80 * MILLION), copy=True)
        assert sandbox.run_code("float(x[3])").value == 4


def test_a_guest_that_does_not_take_what_it_is_lent_holds_little(sandbox):
    """A guest that speaks for itself, and leaves the arrays in the answers that it gets with the supervisor."""
    array = belljar.empty(LEND_LEAST)
    sandbox.expose(lambda: [array[:], array[1:], array[2:]], "load")
    assert sandbox.run_code("len(load())").value == 3
    before = supervisor_descriptors()
    code = """
import os, struct
def ask(number):
    data = bytes.fromhex('8480646c6f616480a0')  # [[], 'load', [], {}]
    frame = struct.pack('<III', number, 1, len(data)) + data
    os.write(3, struct.pack('<II', len(frame), 65) + frame)
    kinds = []
    while 3 not in kinds:
        length, kind = struct.unpack('<II', os.read(3, 8))
        while length: length -= len(os.read(3, length))
        kinds.append(kind)
    return kinds
[ask(1000 + n) for n in range(300)][-1]
"""
    assert sandbox.run_code(code).value == [4, 3]  # FRAME_LEND, FRAME_REPLY
    assert supervisor_descriptors() - before <= 5
    sandbox["x"] = numpy.ones(MILLION)
    assert sandbox.run_code("float(x.sum())").value == MILLION


def test_a_guest_that_asks_for_more_than_it_is_lent_is_refused(sandbox):
    sandbox["x"] = numpy.zeros(MILLION)
    code = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
[(libc.syscall(47, 3, ctypes.c_long(number), 0), ctypes.get_errno()) for number in (0, 1, 2, 1 << 40)]
"""
    execution = sandbox.run_code(code)
    assert execution.value == [(-1, 1)] * 4  # EPERM
    assert [violation.op for violation in execution.violations] == ["recvmsg"] * 4


# ---- Read only, whatever the guest does -----------------------------------------------------------------------------


def test_writing_to_it_is_an_exception(sandbox):
    array = numpy.zeros(MILLION)
    sandbox["x"] = array
    assert sandbox.run_code("x[0] = 1").error.value == "assignment destination is read-only"
    assert sandbox.run_code("x.flags.writeable = True").error.name == "ValueError"
    assert sandbox.run_code("x = x.copy()\nx[0] = 1\nfloat(x[0])").value == 1
    assert array[0] == 0


def test_native_code_cannot_write_to_it(template):
    array = numpy.zeros(MILLION)
    with Sandbox(template=template) as sandbox:
        sandbox["x"] = array
        assert sandbox.run_code("import ctypes\nctypes.memset(x.ctypes.data, 1, 8)").verdict == "crashed"
    assert not array.any()


@pytest.mark.parametrize("make", [numpy.zeros, belljar.empty])
def test_native_code_that_makes_it_writable_writes_to_a_copy(template, make):
    array = make(MILLION)
    with Sandbox(template=template) as sandbox:
        sandbox["x"] = array
        code = """
import ctypes
page = x.ctypes.data & ~4095
done = ctypes.CDLL(None).mprotect(ctypes.c_void_p(page), ctypes.c_size_t(4096), 3)
ctypes.memset(page, 1, 64)
done, x[1] != 0
"""
        assert sandbox.run_code(code).value == (0, True)
    assert not array.any()


def test_what_is_lent_is_sealed():
    plain = core.lend(numpy.zeros(MILLION))
    (fd,) = memfds()
    assert fcntl.fcntl(fd, F_GET_SEALS) == SEAL_SEAL | SEAL_SHRINK | SEAL_GROW | SEAL_WRITE
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    try:
        with pytest.raises(PermissionError):
            os.write(again, b"x")
        with pytest.raises(PermissionError):
            os.ftruncate(again, 4096)
        with pytest.raises(PermissionError):
            mmap.mmap(again, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        assert mmap.mmap(again, 4096, mmap.MAP_SHARED, mmap.PROT_READ)[0] == 0
    finally:
        os.close(again)
    del plain
    assert memfds() == []


def test_memory_that_its_owner_writes_to_is_sealed_against_others():
    array = belljar.empty(MILLION)
    (fd,) = memfds()
    assert fcntl.fcntl(fd, F_GET_SEALS) == SEAL_SEAL | SEAL_SHRINK | SEAL_GROW | SEAL_FUTURE_WRITE
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    try:
        with pytest.raises(PermissionError):
            os.write(again, b"x")
        with pytest.raises(PermissionError):
            mmap.mmap(again, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    finally:
        os.close(again)
    array[0] = 1  # its owner may
    assert mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ)[:8] == array[:1].tobytes()


# ---- belljar.empty --------------------------------------------------------------------------------------------------


def test_empty_is_an_ordinary_array_that_is_seen_live(sandbox):
    array = belljar.empty((1000, 1000), "i4")
    assert array.shape == (1000, 1000) and array.dtype == "i4" and array.flags.writeable and not array.any()
    assert encode(array).memory[0][1:] == (0, array.nbytes)
    sandbox["x"] = array
    array[999, 999] = 7
    assert sandbox.run_code("int(x[999, 999])").value == 7


def test_a_part_of_it_is_lent_in_place(sandbox):
    array = belljar.empty(MILLION)
    array[:] = numpy.arange(MILLION)
    part = array[123_457:]
    text = encode(part)
    assert type(text) is Lending and text.memory[0][1:] == (123_457 * 8, part.nbytes)
    sandbox["x"] = part
    array[123_457] = -1
    assert sandbox.run_code("float(x[0]), float(x[-1]), len(x)").value == (-1.0, MILLION - 1.0, len(part))


def test_empty_refuses_what_cannot_be_shared():
    with pytest.raises(TypeError, match="object"):
        belljar.empty(3, object)
    with pytest.raises(ValueError, match="negative"):
        belljar.empty((3, -1))
    with pytest.raises(MemoryError):
        belljar.empty(1 << 60, "u1")
    assert belljar.empty(0).shape == (0,) and belljar.empty((2, 0)).shape == (2, 0)


# ---- Nothing left, nothing lost -------------------------------------------------------------------------------------


def test_nothing_of_it_stays(sandbox):
    array = numpy.arange(100_000)
    sandbox["x"] = 0  # the first command closes standard input, of which there is none
    gc.collect()
    fds = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        sandbox["x"] = array
    gc.collect()
    assert memfds() == [] and len(os.listdir("/proc/self/fd")) == fds
    numbers = belljar.empty(MILLION)
    sandbox["x"] = numbers
    del numbers
    assert memfds() == []
    assert sandbox.run_code("float(x.sum())").value == 0  # the guest keeps what it was lent


def test_a_guest_that_is_done_with_it_has_it_no_more(sandbox):
    """All mappings that a process may have would be used up otherwise (vm.max_map_count)."""
    array = belljar.empty((100, LEND_LEAST // 8))
    array[99] = 99
    for _ in range(700):
        sandbox["x"] = list(array)
    assert sandbox.run_code("float(x[99][0])").value == 99


def test_a_guest_without_a_descriptor_left_says_so(sandbox):
    sandbox.run_code("import os\nheld = []\ntry:\n  while True: held.append(os.dup(1))\nexcept OSError: pass")
    with pytest.raises(GuestError, match="array of the host"):
        sandbox["x"] = numpy.zeros(MILLION)
    assert "x" not in sandbox
    sandbox.run_code("for fd in held: os.close(fd)")
    sandbox["x"] = numpy.ones(MILLION)
    assert sandbox.run_code("float(x.sum())").value == MILLION


def test_what_is_no_plain_array_says_so_here(sandbox):
    with pytest.raises(TypeError):
        sandbox["x"] = numpy.zeros(MILLION, [("a", "i4"), ("b", "f8")])
    sandbox["x"] = numpy.array(["a", None, 3] * 10, object)  # by copy
    assert sandbox.run_code("x[1] is None, x.flags.writeable").value == (True, True)
    assert memfds() == []


def test_a_large_array_comes_back_by_copy_or_as_a_stand_in(sandbox):
    assert sandbox.run_code("import numpy\nnumpy.ones(1000 * 1000)").value.sum() == MILLION
    execution = sandbox.run_code("numpy.ones(10 * 1000 * 1000)")  # 80 MB: more than one value may have
    assert type(execution.value) is belljar.Opaque and execution.value.type_name == "numpy.ndarray"


def test_numbers_of_other_kinds_than_numpys_are_lent(sandbox):
    import array

    sandbox["x"] = array.array("d", range(100_000))
    assert sandbox.run_code("sum(x)").value == sum(range(100_000))
