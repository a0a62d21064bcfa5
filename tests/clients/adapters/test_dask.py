"""`belljar.adapters.dask` against Dask and distributed."""

import math
import operator
import os

import pytest

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

import belljar
from belljar.adapters.dask import WorkerExecutor, get


def where(number):
    """The user who runs it, and whether that may read what the host's user may."""
    try:
        open("/etc/shadow").close()
        refused = False
    except PermissionError:
        refused = True
    return [number, os.getpid(), refused]


@pytest.fixture(scope="module")
def executor():
    made = WorkerExecutor(belljar.Policy(timeout=30), max_workers=2)
    yield made
    made.shutdown()


@pytest.mark.parametrize(
    ("make", "result"),
    [
        (lambda: dask.delayed(math.sqrt)(16), 4.0),
        (lambda: dask.delayed(sum)([dask.delayed(operator.mul)(n, n) for n in range(5)]), 30),
        (lambda: dask.delayed(lambda text, times: text * times)("ab", times=dask.delayed(len)("xyz")), "ababab"),
        (lambda: dask.delayed({"a": dask.delayed(abs)(-1)}), {"a": 1}),
        (lambda: dask.delayed(5), 5),
    ],
)
def test_a_graph_is_computed(executor, make, result):
    assert make().compute(scheduler=get, executor=executor) == result


def test_tasks_run_in_guests_of_their_own(executor):
    values = dask.compute(*(dask.delayed(where)(n) for n in range(3)), scheduler=get, executor=executor)
    assert [value[0] for value in values] == [0, 1, 2] and all(value[2] for value in values)
    assert os.getpid() not in {value[1] for value in values}


def test_a_bag():
    bag = pytest.importorskip("dask.bag")
    assert bag.from_sequence(range(6), npartitions=2).map(lambda n: n + 1).sum().compute(scheduler=get) == 21


def test_an_exception_and_a_limit_are_raised(executor):
    with pytest.raises(ZeroDivisionError):
        dask.delayed(lambda n: 1 / n)(0).compute(scheduler=get, executor=executor)

    def spin():
        while True:
            pass

    with pytest.raises(TimeoutError):
        dask.delayed(spin)().compute(scheduler=get, policy=belljar.Policy(timeout=1))


def test_a_cluster_whose_worker_has_sandboxes(executor):
    options = {"processes": False, "n_workers": 1, "threads_per_worker": 2, "dashboard_address": None, "executor": executor}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        assert client.gather(client.map(lambda n: n * 2, range(4))) == [0, 2, 4, 6]
        number, pid, refused = client.submit(where, 1).result()
        assert (number, refused) == (1, True) and pid != os.getpid()
        assert client.submit(sum, [client.submit(abs, -1), client.submit(abs, -2)]).result() == 3
        with pytest.raises(ZeroDivisionError):
            client.submit(lambda: 1 / 0).result()
