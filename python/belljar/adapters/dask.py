"""Dask: each task runs in a guest of its own. `get` is a scheduler of this process, `WorkerExecutor` for `distributed`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from belljar import Policy, SandboxConfig, SandboxExecutor
from belljar.adapters._needed import needed

with needed("dask", "dask"):
    from dask._task_spec import Alias, DataNode, GraphNode
    from dask.local import get_async

__all__ = ["WorkerExecutor", "get"]


class WorkerExecutor(Executor):
    """The `executor=` of a worker: what the worker does around a task stays here, the task itself runs in a fresh sandbox.

    >>> LocalCluster(processes=False, executor=WorkerExecutor(belljar.Policy(timeout=60)))

    Keyword arguments are those of `belljar.SandboxExecutor`. Guests need Dask: it is imported before they are forked."""

    def __init__(
        self,
        policy: Policy | SandboxConfig | None = None,
        *,
        max_workers: int | None = None,
        preload: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        self.max_workers = max_workers or os.cpu_count() or 1
        self._sandboxes = SandboxExecutor(policy, max_workers=self.max_workers, preload=["dask._task_spec", *preload], **options)
        self._threads = ThreadPoolExecutor(self.max_workers, "belljar-dask")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs a function of Dask's here, and the tasks that it is given in sandboxes."""
        return self._threads.submit(fn, *(self._outside(value) for value in args), **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """No more tasks."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        self._sandboxes.shutdown(wait, cancel_futures=cancel_futures)

    def _outside(self, value: Any) -> Any:
        """In the place of a task: what has it run. Nodes that only name a value run nothing."""
        if isinstance(value, GraphNode) and not isinstance(value, Alias | DataNode):
            return lambda data=None, **others: self._sandboxes.submit(_run_task, value, dict(data or {})).result()
        if isinstance(value, list | tuple):  # a batch of get_async's
            return type(value)(self._outside(item) for item in value)
        return value


def _run_task(task: Callable[[dict[Any, Any]], Any], data: dict[Any, Any]) -> Any:
    """Runs in the sandbox."""
    return task(data)


def get(graph: Mapping[Any, Any], keys: Any, *, policy: Policy | SandboxConfig | None = None, num_workers: int | None = None,
        executor: WorkerExecutor | None = None, **others: Any) -> Any:  # fmt: skip
    """A scheduler: `dask.compute(x, scheduler=belljar.adapters.dask.get, policy=belljar.Policy(timeout=60))`.

    `executor` is one to go on using; without it there is one for this call."""
    made = executor or WorkerExecutor(policy, max_workers=num_workers)
    others.pop("pool", None)
    try:
        return get_async(made.submit, num_workers or made.max_workers, graph, keys, **others)
    finally:
        if executor is None:
            made.shutdown(wait=False, cancel_futures=True)
