"""Where guests come from: a policy, an interpreter and preloaded modules, made ready once. Fresh guests are forked from it."""

from __future__ import annotations

import atexit
import collections
import copy
import functools
import os
import select
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from belljar._audit import listener
from belljar._core import core
from belljar._execution import Execution, release
from belljar._instead import wrong_type
from belljar._interpreter import callers_level, default_interpreter
from belljar._job import modules
from belljar._language import Language
from belljar._policy import (
    Policy,
    audit_of,
    for_template,
    has_language,
    names_interpreter,
    refuse_audit_only,
    without_place,
)
from belljar.config import SandboxConfig
from belljar.errors import SandboxError

__all__ = ["Pool", "as_policy", "ready", "shared", "template_key", "with_options"]

OnOperation = Callable[[int, str, str, str, str], object]


_WARM_FAILED = "belljar: the text of warm= "
"""How a guest begins to say what its warm text came to (python/belljar_guest/_preload.py)."""


class Pool:
    """What a `Template` is made of, and what `run` and `Sandbox` share where nobody gives them one.

    Threads may share it. It lives as long as somebody has anything of it."""

    def __init__(
        self,
        policy: Policy | SandboxConfig | None = None,
        *,
        preload: str | Iterable[str] = (),
        python: str | os.PathLike[str] | None = None,
        parked: int = 1,
        on_operation: OnOperation | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(parked, bool) or not isinstance(parked, int):
            raise wrong_type("parked", "a number of guests", parked)
        if parked == 0:
            warnings.warn("parked=0 has always meant 1, and will be an error: write parked=1, or leave it out", DeprecationWarning,
                          stacklevel=callers_level())  # fmt: skip
        self.policy = with_options(policy, options or {})
        refuse_audit_only(self.policy)
        self.preload = modules(preload)
        self.key = template_key(self.policy, self.preload, python)
        self._interpreter: str = self.key[2] or self.policy.options["python"]
        self._identity = _identity(self._interpreter)
        self.core = core.Template(for_template(self.key[0], self.preload, self.key[2]), parked,
                                  on_operation or listener(audit_of(self.policy)))  # fmt: skip
        for text in self.core.warnings():
            warnings.warn(text, RuntimeWarning, stacklevel=callers_level())
        self.language = language_of(policy, self.policy)
        options = self.policy.options
        self.scratch: int = options["scratch"]
        self.wall_ms: float = options["timeout"] * 1000
        # Runs whose guest is still held. Few are kept: a caller who keeps thousands of executions keeps no processes.
        self._held: collections.deque[weakref.ref[Execution]] = collections.deque()
        self._is_retired = False
        self._hears_warm = bool(options["warm"])

    @property
    def python(self) -> tuple[int, int, int]:
        """The version of its interpreter."""
        version = self.core.python
        return version >> 24, version >> 16 & 0xFF, version >> 8 & 0xFF

    def close(self) -> None:
        """Ends its processes. Executions stay readable, but not their files; open sandboxes keep it until they close."""
        for reference in self._held:
            if (execution := reference()) is not None:
                release(execution, keeps_files=False)
        self._held.clear()
        self.core.close()

    def retire(self) -> None:
        """No cache knows it any more. Its processes end when nobody has anything of it: a run or a session that is on, a
        result whose files can be read."""
        self._is_retired = True
        self._let_go(0)

    def has_died(self) -> bool:
        """Whether its supervisor is gone (killed from outside, or for want of memory), or its interpreter another."""
        if _identity(self._interpreter) != self._identity:
            return True
        poll = select.poll()
        poll.register(self.core.fileno(), 0)
        return bool(poll.poll(0))

    def hold(self, execution: Execution) -> None:
        """Keeps the guest of a run for its files, in place of the oldest."""
        self.hear_warm(execution)
        self._held.append(weakref.ref(execution))
        self._let_go(0 if self._is_retired else _HELD_MAX)

    def hear_warm(self, execution: Execution) -> None:
        """Warns, once, of a warm text that came to nothing. A guest says so on its stderr, before anything of its first run."""
        if self._hears_warm and (told := execution.stderr.partition("\n")[0]).startswith(_WARM_FAILED):
            self._hears_warm = False
            words = "".join(letter if letter.isprintable() else "?" for letter in told[:1200])
            warnings.warn(words.removeprefix("belljar: "), RuntimeWarning, stacklevel=callers_level())

    def _let_go(self, most: int) -> None:
        """Ends the oldest guests whose runs are over, but not their files."""
        while len(self._held) > most:
            try:
                oldest = self._held.popleft()()
            except IndexError:  # another thread was faster
                break
            if oldest is not None:
                release(oldest, keeps_files=True)


_HELD_MAX = 16
_CACHE_MAX = 8

_Key = tuple[Policy, tuple[str, ...], str | None]


def as_policy(policy: Policy | SandboxConfig | None) -> Policy:
    """The policy that is meant. `TypeError` for what is none."""
    if isinstance(policy, Policy):
        return policy
    if policy is None:
        return _open_policy()
    if isinstance(policy, SandboxConfig):
        return Policy(**policy.to_policy())
    raise wrong_type("policy", "a belljar.Policy or a belljar.SandboxConfig", policy, *_remedies(policy))


@functools.cache
def _open_policy() -> Policy:
    return Policy()


def with_options(policy: Policy | SandboxConfig | None, options: Mapping[str, Any]) -> Policy:
    """The policy that is meant, with these options in place of its own."""
    meant = as_policy(policy)
    return meant.replace(**options) if options else meant


def _remedies(policy: object) -> list[str]:
    if isinstance(policy, dict):
        return ["write belljar.Policy(**options)"]
    return ["write template="] if type(policy).__name__ == "Template" else []


def language_of(given: Policy | SandboxConfig | None, policy: Policy) -> Language | None:
    """The language that a policy gives its guests; None is Python as it is."""
    if isinstance(given, SandboxConfig):
        return Language(given)
    return Language(None) if has_language(policy) else None


def template_key(policy: Policy, preload: tuple[str, ...], python: str | os.PathLike[str] | None) -> _Key:
    """What makes two templates the same."""
    policy = without_place(policy, bool(preload))
    if python is None:
        return policy, preload, None if names_interpreter(policy) else default_interpreter()
    if not isinstance(python, str | bytes | os.PathLike):
        raise wrong_type("python", "the path of an interpreter or of an environment", python)
    return policy, preload, os.fsdecode(python)


def _identity(path: str) -> tuple[int, int]:
    """Differs where an environment was made anew at its old place: guests of before look into one that is gone."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return 0, 0
    return found.st_ino, found.st_ctime_ns


class _Start:
    """A template that one thread starts and others wait for."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self.template: Pool | None = None
        self.error: SandboxError | None = None


class _Cache:
    """The templates of belljar.run and Sandbox: the last few stay ready. A forked child starts with none."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.templates: collections.OrderedDict[_Key, Pool] = collections.OrderedDict()
        self.starts: dict[_Key, _Start] = {}

    def find(self, key: _Key) -> Pool | None:
        """The template that is ready for this key."""
        with self.lock:
            template = self.templates.get(key)
            if template is not None and not template.has_died():
                self.templates.move_to_end(key)
                return template
        if template is not None:
            self.drop(template)
        return None

    def get(
        self, policy: Policy | SandboxConfig | None, preload: str | Iterable[str], python: str | os.PathLike[str] | None
    ) -> Pool:
        """The template for these, started if it has to be. Threads that want the same one start it once."""
        key = template_key(as_policy(policy), modules(preload), python)
        while True:
            template = self.find(key)
            if template is not None:
                return template
            with self.lock:
                if key in self.templates:
                    continue  # another thread was faster
                start = self.starts.get(key)
                if start is None:
                    mine = self.starts[key] = _Start()
                    break
            start.is_over.wait()
            if start.template is not None:
                return start.template
            if start.error is not None:
                raise copy.copy(start.error)
        return self._start(key, mine)

    def _start(self, key: _Key, start: _Start) -> Pool:
        surplus = []
        try:
            made = Pool(key[0], preload=key[1], python=key[2])  # slow: without the lock
            with self.lock:
                start.template = self.templates[key] = made
                while len(self.templates) > _CACHE_MAX:
                    surplus.append(self.templates.popitem(last=False)[1])
        except SandboxError as error:
            start.error = error
            raise
        finally:
            with self.lock:
                del self.starts[key]
            start.is_over.set()
        for other in surplus:
            other.retire()
        return made

    def drop(self, template: Pool) -> None:
        """Forgets one that has died."""
        with self.lock:
            if self.templates.get(template.key) is template:
                del self.templates[template.key]
        template.retire()

    def close(self) -> None:
        """Ends all of them."""
        with self.lock:
            templates = list(self.templates.values())
            self.templates.clear()
        for template in templates:
            template.close()


_cache = _Cache()


def ready(key: _Key) -> Pool | None:
    """The process-wide template for a key, if it has been started."""
    return _cache.find(key)


def shared(
    policy: Policy | SandboxConfig | None = None,
    preload: str | Iterable[str] = (),
    python: str | os.PathLike[str] | None = None,
) -> Pool:
    """The process-wide template for these."""
    return _cache.get(policy, preload, python)


def _after_fork() -> None:
    # The parent's templates are of no use here, and the lock may have been held by a thread that is not here.
    global _cache
    _cache = _Cache()


atexit.register(lambda: _cache.close())
os.register_at_fork(after_in_child=_after_fork)
