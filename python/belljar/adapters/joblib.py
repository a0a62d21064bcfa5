"""joblib: the backend "belljar", which runs each batch of calls in a fresh sandbox."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from belljar import Policy, SandboxConfig, SandboxExecutor
from belljar.adapters._needed import needed

with needed("joblib", "joblib"):
    from joblib import cpu_count, register_parallel_backend
    from joblib.parallel import ParallelBackendBase

__all__ = ["BelljarBackend", "register"]


class BelljarBackend(ParallelBackendBase):
    """joblib's side of a `belljar.SandboxExecutor`. The keyword arguments of `joblib.parallel_config` are its own: `policy`,
    `preload`, `python`, `template`."""

    supports_retrieve_callback = True
    supports_inner_max_num_threads = False
    uses_threads = False
    supports_sharedmem = False

    def __init__(self, nesting_level: int | None = None, inner_max_num_threads: int | None = None,
                 policy: Policy | SandboxConfig | None = None, **options: Any) -> None:  # fmt: skip
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self._make = functools.partial(SandboxExecutor, policy, **options)
        self._executor: SandboxExecutor | None = None
        self._futures: set[Future[Any]] = set()

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many guests there are at a time; negative numbers count from the processors, as elsewhere in joblib."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        return 1 if n_jobs is None else n_jobs if n_jobs > 0 else max(int(cpu_count()) + 1 + n_jobs, 1)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **others: Any) -> int:
        """Makes the executor. Returns how many guests it has at a time."""
        self.parallel = parallel
        workers = self.effective_n_jobs(n_jobs)
        self._executor = self._make(max_workers=workers)
        return workers

    def submit(self, func: Any, callback: Callable[[Future[Any]], object] | None = None) -> Future[Any]:
        """Has a batch run. The calls go to the sandbox, and not the object of joblib's that holds them."""
        assert self._executor is not None
        future = self._executor.submit(_run_batch, func.items)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """What a batch came to."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Ends the calls that run or wait."""
        for future in list(self._futures):
            future.cancel()
        self.terminate()
        if ensure_ready:
            self.configure(self.parallel.n_jobs, self.parallel)

    def terminate(self) -> None:
        """No more calls: the sandboxes go."""
        if self._executor is not None:
            self._executor.shutdown(wait=False)
        self._executor = None


def _run_batch(calls: Sequence[tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]]) -> list[Any]:
    """Runs in the sandbox."""
    return [function(*arguments, **keywords) for function, arguments, keywords in calls]


def register(name: str = "belljar", *, make_default: bool = False) -> None:
    """Makes the backend known to joblib by a name: `joblib.parallel_config(backend="belljar", policy=…)`."""
    register_parallel_backend(name, BelljarBackend, make_default=make_default)
