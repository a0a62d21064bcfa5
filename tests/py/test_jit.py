"""Executable memory: there in the profile full, refused under its own name by --no-jit and in the profile compute."""

import json
import subprocess

import pytest

from belljar import Policy, Sandbox, Template, run

core = pytest.mark.core

CALLBACK = """
import ctypes
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))(lambda a, b: a[0] - b[0])
numbers = (ctypes.c_int * 5)(3, 1, 2, 5, 4)
ctypes.CDLL(None).qsort(numbers, 5, 4, compare)
print(list(numbers))
"""
CFFI = """
import cffi
ffi = cffi.FFI()
ffi.cdef("void qsort(void *, size_t, size_t, int (*)(const void *, const void *));")
@ffi.callback("int(const void *, const void *)")
def compare(a, b): return ffi.cast("int *", a)[0] - ffi.cast("int *", b)[0]
numbers = ffi.new("int[5]", [3, 1, 2, 5, 4])
ffi.dlopen(None).qsort(numbers, 5, 4, compare)
print(list(numbers))
"""
MADE = """
import mmap
memory = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
print("made")
"""
SORTED = "[1, 2, 3, 4, 5]\n"
PROGRAMS = {"a ctypes callback": (CALLBACK, SORTED), "a cffi callback": (CFFI, SORTED), "memory": (MADE, "made\n"),
            "shared memory": (MADE.replace("flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, ", ""), "made\n")}  # fmt: skip


@pytest.fixture(scope="module")
def without():
    with Template(Policy(jit=False, memory="64M"), python="/usr/bin/python3") as template:
        yield template


def need(program):
    if "cffi" in program and subprocess.run(["/usr/bin/python3", "-c", "import cffi"], capture_output=True).returncode:
        pytest.skip("Debian's Python has no cffi here (python3-cffi)")


@core
@pytest.mark.parametrize("name", PROGRAMS)
def test_by_default_it_is_there(name):
    program, said = PROGRAMS[name]
    need(program)
    ex = run(program, python="/usr/bin/python3")
    assert (ex.stdout, ex.verdict, ex.violations) == (said, "ok", [])


@core
@pytest.mark.parametrize("session", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_without_it_the_refusal_has_its_own_name(without, name, session):
    program, _ = PROGRAMS[name]
    need(program)
    if session:
        with Sandbox(template=without) as sandbox:
            ex = sandbox.run_code(program)
            assert sandbox.run_code("6 * 7").text == "42"
    else:
        ex = without.run(program)
    assert (ex.verdict, ex.stdout) == ("violation", "")
    assert "jit" in {violation.rule for violation in ex.violations}


@core
@pytest.mark.parametrize("options", [{}, {"jit": True}, {"jit": False}])
def test_the_profile_compute_has_none_whatever_is_said(options):
    policy = Policy(profile="compute", preload=["mmap"], **options)
    assert policy.options["jit"] is False
    with Template(policy) as template:
        ex = template.run(MADE)
        assert (ex.verdict, [violation.rule for violation in ex.violations]) == ("violation", ["jit"])
        assert (
            template.run("import mmap; print(len(mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)))").stdout
            == "4096\n"
        )


def test_the_order_of_options_makes_no_difference():
    assert [Policy(**options).options["jit"] for options in (
        {}, {"profile": "full"}, {"jit": False, "profile": "full"}, {"profile": "full", "jit": False}, {"profile": "compute"},
    )] == [True, True, False, False, False]  # fmt: skip
    assert Policy(profile="compute").replace(profile="full").options["jit"] is True


@core
def test_the_command_refuses_it_by_an_option():
    def told(*options):
        done = subprocess.run(["belljar", "run", "--json", *options, "-c", MADE], stdout=subprocess.PIPE)
        return json.loads(done.stdout)["verdict"], done.returncode

    assert told() == ("ok", 0) and told("--no-jit") == ("violation", 126)


def test_it_makes_no_call_native():
    told = json.loads(subprocess.run(["belljar", "explain", "--json"], check=True, stdout=subprocess.PIPE).stdout)
    full, bare = told["profiles"]["full"], told["profiles"]["full without jit"]
    assert full["native"] == bare["native"] and told["profiles"]["this policy"] == full and told["options"]["jit"] is True
    assert {row["name"] for row in told["syscalls"] if row["grant"] == "jit"} == {"mmap", "mprotect"}
