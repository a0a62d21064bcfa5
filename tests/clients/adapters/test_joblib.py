"""`belljar.adapters.joblib` against joblib."""

import functools
import math
import operator
import time

import pytest

joblib = pytest.importorskip("joblib")
numpy = pytest.importorskip("numpy")

import belljar
from belljar.adapters.joblib import register

register()


def parallel(function, rows, policy=None, **options):
    with joblib.parallel_config(backend="belljar", policy=policy):
        return joblib.Parallel(n_jobs=2, **options)(joblib.delayed(function)(*row) for row in rows)


def half(number):
    return helper(number) / 2


def helper(number):
    return float(number)


@pytest.mark.parametrize(
    ("function", "rows", "result"),
    [
        (math.sqrt, [(1,), (4,), (9,)], [1.0, 2.0, 3.0]),
        (half, [(n,) for n in range(20)], [n / 2 for n in range(20)]),
        (lambda text, times: text * times, [("a", 2)], ["aa"]),
        (functools.partial(operator.add, 1), [(1,), (2,)], [2, 3]),
        (half, [], []),
    ],
)
def test_results_come_in_order(function, rows, result):
    assert parallel(function, rows) == result


def test_batches_and_generators():
    assert parallel(half, [(n,) for n in range(10)], batch_size=4) == [n / 2 for n in range(10)]
    assert list(parallel(half, [(2,), (4,)], return_as="generator")) == [1.0, 2.0]


def test_arrays_go_in_and_come_out():
    (result,) = parallel(lambda array: array * 2, [(numpy.arange(5),)])
    assert result.tolist() == [0, 2, 4, 6, 8]


def test_an_exception_is_the_one_that_was_raised():
    with pytest.raises(ZeroDivisionError):
        parallel(lambda n: 1 / n, [(1,), (0,)])


def test_a_file_is_refused_unless_it_is_granted(tmp_path):
    def read(path):
        with open(path) as file:
            return file.read()

    path = tmp_path / "a.txt"
    path.write_text("granted")
    for folder in [tmp_path, *tmp_path.parents[:2]]:
        folder.chmod(0o755)
    with pytest.raises(PermissionError):
        parallel(read, [("/etc/shadow",)])
    assert parallel(read, [(str(path),)], belljar.Policy(read=[tmp_path])) == ["granted"]


def test_a_limit_is_an_error_and_ends_the_others():
    def spin(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    with pytest.raises(TimeoutError):
        parallel(spin, [(1000,), (1000,), (1000,)], belljar.Policy(timeout=1))
    assert parallel(half, [(2,)]) == [1.0]


def test_each_batch_has_a_guest_of_its_own():
    def leave(n):
        import builtins

        seen = getattr(builtins, "left", None)
        builtins.left = n
        return seen

    assert parallel(leave, [(1,), (2,), (3,)], batch_size=1) == [None, None, None]
