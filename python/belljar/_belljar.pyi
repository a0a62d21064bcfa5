# The extension module of bindings/, for type checkers.
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, Final, final

VERDICT_OK: Final[int]
VERDICT_ERROR: Final[int]
VERDICT_TIMEOUT: Final[int]
VERDICT_CPU: Final[int]
VERDICT_MEMORY: Final[int]
VERDICT_OUTPUT: Final[int]
VERDICT_VIOLATION: Final[int]
VERDICT_CRASHED: Final[int]
VERDICT_INFRA_ERROR: Final[int]
SCRATCH_PLACES: Final[tuple[str, ...]]

def options() -> list[tuple[str, str | None, str | None, bool, bool, str | None, str]]: ...
def probes() -> list[tuple[str, str, bool, bool, str]]: ...
def encode_value(
    object: object,
    *,
    strict: bool = False,
    only_public: bool = False,
    buffers: list[object] | None = None,
    buffer_least: int = 65536,
    bytes: int = ...,
    elements: int = ...,
    depth: int = ...,
    int_bits: int = ...,
    references: int = ...,
) -> bytes: ...
def decode_value(
    data: bytes | memoryview,
    *,
    buffers: list[object] | None = None,
    views: Callable[[int], object] | None = None,
    costs: list[int] | None = None,
    bytes: int = ...,
    elements: int = ...,
    depth: int = ...,
    int_bits: int = ...,
    references: int = ...,
) -> Any: ...

def check_keys(keys: list[Any], /) -> None: ...

@final
class Memory:
    def __buffer__(self, flags: int, /) -> memoryview: ...

def memory(length: int, /) -> Memory: ...
def lend(buffer: object, /) -> tuple[Memory, int, int]: ...

@final
class Policy:
    def __init__(self) -> None: ...
    def set(self, key: str, json_text: str, /) -> None: ...
    def load(self, path: str | bytes | PathLike[str], /) -> None: ...
    def json(self) -> str: ...
    def rules(self) -> list[tuple[str, str, str, str, str]]: ...
    def mounts(self) -> list[tuple[str, str, str, str]]: ...
    def counts(self) -> tuple[int, int]: ...

@final
class Template:
    def __init__(
        self,
        policy: Policy,
        parked: int = 0,
        on_operation: Callable[[int, str, str, str, str], object] | None = None,
    ) -> None: ...
    @property
    def python(self) -> int: ...
    def take(self) -> Guest: ...
    def try_take(self) -> Guest | None: ...
    def layers(self) -> list[tuple[str, str, str]]: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...

@final
class Guest:
    @property
    def id(self) -> int | None: ...
    @property
    def is_closed(self) -> bool: ...
    def run(
        self,
        code: bytes,
        *,
        filename: str | None = None,
        argv: Sequence[str] | None = None,
        path0: str | None = None,
        files: Sequence[tuple[str, bytes]] | None = None,
        module: bool = False,
        script: bool = False,
        last_value: bool = False,
        session: bool = False,
        wall_ms: int = 0,
        cpu_ms: int = 0,
        stdin_fd: int = -1,
        stdin_bytes: bytes | None = None,
        on_output: Callable[[int, bytes], object] | None = None,
        on_input: Callable[[], bytes | None] | None = None,
        on_frame: Callable[[int, bytes], object] | None = None,
        command: bool = False,
        bytes: bool = False,
    ) -> Result: ...
    def start(
        self,
        code: bytes,
        *,
        filename: str | None = None,
        argv: Sequence[str] | None = None,
        path0: str | None = None,
        files: Sequence[tuple[str, bytes]] | None = None,
        module: bool = False,
        script: bool = False,
        last_value: bool = False,
        session: bool = False,
        wall_ms: int = 0,
        cpu_ms: int = 0,
        stdin_fd: int = -1,
        stdin_bytes: bytes | None = None,
        on_output: Callable[[int, bytes], object] | None = None,
        on_input: Callable[[], bytes | None] | None = None,
        on_frame: Callable[[int, bytes], object] | None = None,
        command: bool = False,
        bytes: bool = False,
    ) -> None: ...
    def step(self) -> Result | None: ...
    def pollfds(self) -> tuple[list[tuple[int, int]], int]: ...
    def send(self, type: int, payload: bytes, /) -> None: ...
    def lend(self, memory: list[tuple[Memory, int, int]], copy: bool, /) -> None: ...
    def branch(self) -> Guest: ...
    def kill(self, verdict: int = ..., /) -> None: ...
    def interrupt(self) -> None: ...
    def complete(self, result: Result, /) -> None: ...
    def scratch(self) -> int: ...
    def close(self) -> None: ...

@final
class Result:
    @property
    def verdict(self) -> str: ...
    @property
    def exit(self) -> int: ...
    @property
    def signal(self) -> int: ...
    @property
    def stdout(self) -> bytes: ...
    @property
    def stderr(self) -> bytes: ...
    @property
    def totals(self) -> tuple[int, int]: ...
    @property
    def truncated(self) -> bool: ...
    @property
    def error(self) -> tuple[str, str, str] | None: ...
    @property
    def text(self) -> str | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def displays(self) -> list[tuple[int, str, bytes]]: ...
    @property
    def is_complete(self) -> bool: ...
    @property
    def usage(self) -> tuple[float, float, int, int]: ...
    @property
    def violations(self) -> list[tuple[str, str, str, str]]: ...
    @property
    def refused(self) -> int: ...
