"""The arguments that the faces take, and what these come to before anything is waited for: one reading for `run` and `arun`, for
`Sandbox` and `AsyncSandbox`. What they can tell without their guest is here as well."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict, TypeVar

from belljar._core import core
from belljar._engine import Operation, Session, run_once
from belljar._execution import Execution
from belljar._instead import Face, refuse_others, wrong_type
from belljar._job import CodeKeywords, HandedKeywords, RunKeywords, contents, make_job, source
from belljar._language import Language
from belljar._policy import Options, Place, Policy, RunOptions, SessionOptions, joined, place, place_of
from belljar._template import OnOperation, Pool, with_options
from belljar.config import SandboxConfig
from belljar.errors import SandboxError

if TYPE_CHECKING:
    from belljar.sandbox import Template

__all__ = ["Once", "OnceKeywords", "Program", "Provider", "SandboxKeywords", "SessionFace", "Sessions", "Start", "check_run", "parted",
           "pool_of", "spelled", "warn_lost"]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])


# ---- Keywords -------------------------------------------------------------------------------------------------------


class OriginKeywords(TypedDict, total=False):
    """Where guests come from."""

    preload: str | Iterable[str]
    python: str | os.PathLike[str] | None
    template: Template | None


class Once(RunKeywords, OriginKeywords, total=False):
    """`run`, without the options of a policy."""


class Sessions(HandedKeywords, OriginKeywords, total=False):
    """`Sandbox`, without the options of a policy."""


class OnceKeywords(Once, RunOptions, total=False):
    """Keywords of `run` and `arun`."""


class SandboxKeywords(Sessions, SessionOptions, total=False):
    """Keywords of `Sandbox` and `AsyncSandbox`."""


_DEFAULTS: Mapping[str, Any] = {"preload": ()}


def spelled(keywords: type, rest: str = "Place") -> Callable[[F], F]:
    """Has a function's signature, as help() shows it, name each keyword that `keywords` (a TypedDict) lists. `rest` names those
    that it takes besides; "" for none."""

    def spell(function: F) -> F:
        signature = inspect.signature(function)
        rows = [row for row in signature.parameters.values() if row.kind != row.VAR_KEYWORD]
        named = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS.get(name), annotation=_written(kind))
                 for name, kind in keywords.__annotations__.items()]  # fmt: skip
        others = [inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD, annotation=f"Unpack[{rest}]")] if rest else []
        function.__signature__ = signature.replace(parameters=[*rows, *named, *others])  # type: ignore[attr-defined]
        return function

    return spell


def _written(annotation: Any) -> str:
    return str(getattr(annotation, "__forward_arg__", annotation))


def parted(face: str, given: Mapping[str, Any], function: Callable[..., Any], maker: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keywords that are options: (what a program finds around it, the policy's). `TypeError` for any other."""
    known = SessionOptions.__annotations__
    if others := [name for name in given if name not in known]:
        refuse_others(face, others, function, maker, Options.__annotations__, known)
    around: Any = {name: given[name] for name in given if name in Place.__annotations__}
    return place(**around), {name: given[name] for name in given if name not in Place.__annotations__}


def check_run(
    face: str, given: Mapping[str, Any], function: Callable[..., Any], keywords: type = CodeKeywords,
    maker: str = "belljar.Sandbox(policy)",
) -> None:  # fmt: skip
    """`TypeError` for keywords of a run that it does not take."""
    if not given:
        return
    if others := given.keys() - keywords.__annotations__.keys() - Place.__annotations__.keys():
        refuse_others(face, sorted(others), function, maker, Options.__annotations__, Place.__annotations__)


# ---- What they come to ----------------------------------------------------------------------------------------------


class Start:
    """Where the guests of a face come from, and what they begin with."""

    def __init__(
        self, face: str, function: Callable[..., Any], maker: str, policy: Policy | SandboxConfig | None,
        how: Mapping[str, Any], own: type = Sessions,
    ) -> None:  # fmt: skip
        given = {name: value for name, value in how.items() if name in own.__annotations__}
        around, options = parted(face, {name: value for name, value in how.items() if name not in given}, function, maker)
        self.take_in(given)
        self.preload, self.python = given.get("preload", ()), given.get("python")
        self.pool = pool_of(given.get("template"), policy, self.preload, self.python)
        if self.pool is not None and options:
            raise SandboxError(f"template= comes with its policy: give either it or {', '.join(f'{name}=' for name in options)}")
        self.policy = with_options(policy, options) if self.pool is None else self.pool.policy
        self.language = Language(policy) if isinstance(policy, SandboxConfig) else self.pool.language if self.pool else None
        self.place = joined(place_of(self.policy), around)

    def take_in(self, given: Mapping[str, Any]) -> None:
        """What guests are handed."""
        self.files, self.stdin = contents(given.get("files")), given.get("stdin")

    @property
    def wanted(self) -> tuple[Policy, str | Iterable[str], str | os.PathLike[str] | None]:
        """The pool that is to be found where none was given."""
        return self.policy, self.preload, self.python

    def session(self, pool: Pool, guest: core.Guest) -> Session:
        """A session in a guest of a pool."""
        return Session(pool, guest, self.language or pool.language, self.files, self.stdin, place=self.place)


class Program(Start):
    """A program that runs in a guest of its own."""

    def __init__(
        self, face: str, function: Callable[..., Any], maker: str, code: str | bytes, policy: Policy | SandboxConfig | None,
        how: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.code = code
        super().__init__(face, function, maker, policy, how, Once)

    def take_in(self, given: Mapping[str, Any]) -> None:
        """What the guest is handed, with its code."""
        handed: dict[str, Any] = {name: given[name] for name in given if name in RunKeywords.__annotations__}
        handed["files"] = contents(handed.get("files"))
        self.job = make_job(**handed)
        self.text = source(self.code, self.job)
        self.on_result = given.get("on_result")

    def begin(self, pool: Pool, guest: core.Guest) -> Operation[Execution]:
        """The program, in a guest of a pool."""
        return run_once(pool, guest, self.text, self.job, self.on_result, self.place)


def warn_lost(name: str, why: str, level: int) -> None:
    """Somebody reads that a variable of a file was not made again."""
    warnings.warn(f"{name} could not be made again: {why}", RuntimeWarning, stacklevel=level)


# ---- What a face can tell -------------------------------------------------------------------------------------------


class SessionFace(Face):
    """A session's policy."""

    _policy: Policy
    _language: Language | None

    @property
    def policy(self) -> Policy:
        """What its code may do."""
        return self._policy

    @property
    def config(self) -> SandboxConfig:
        """The `SandboxConfig` that it was made with. `AttributeError` if it was made with a `Policy`."""
        return _config_of(self._language)


def _config_of(language: Language | None) -> SandboxConfig:
    """The config behind a language policy."""
    if language is None or language.config is None:
        raise AttributeError  # with the sentence of its face
    return language.config


class Provider(Face):
    """A pool of guests, with what it was made of."""

    def __init__(
        self,
        policy: Policy | SandboxConfig | None,
        preload: str | Iterable[str],
        python: str | os.PathLike[str] | None,
        parked: int,
        on_operation: OnOperation | None,
        options: Mapping[str, Any],
    ) -> None:
        self._pool = Pool(policy, preload=preload, python=python, parked=parked, on_operation=on_operation, options=options)

    @property
    def policy(self) -> Policy:
        """What its guests may do."""
        return self._pool.policy

    @property
    def preload(self) -> tuple[str, ...]:
        """The modules that its guests have imported when they start."""
        return self._pool.preload

    @property
    def config(self) -> SandboxConfig:
        """The `SandboxConfig` that it was made with. `AttributeError` if it was made with a `Policy`."""
        return _config_of(self._pool.language)

    @property
    def python(self) -> tuple[int, int, int]:
        """The version of its interpreter."""
        return self._pool.python

    @property
    def layers(self) -> dict[str, str]:
        """The layers of the lockdown that are in force: "on", or "off" or "waived" with the reason."""
        return {name: state if not reason else f"{state}: {reason}" for name, state, reason in self._pool.core.layers()}

    def close(self) -> None:
        """Ends its processes. Executions stay readable, but not their files; open sandboxes keep it until they close."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Template {self.policy!r}, preload={list(self.preload)!r}>"


def pool_of(
    template: Provider | None, policy: object, preload: str | Iterable[str] = (), python: str | os.PathLike[str] | None = None
) -> Pool | None:
    """Where the guests of a template come from; it comes with its policy, preload and python. None if there is none."""
    if template is None:
        return None
    if not isinstance(template, Provider):
        raise wrong_type("template", "a belljar.Template", template)
    if policy is not None or preload or python is not None:
        raise SandboxError("template= comes with its policy, preload and python: give either it or them")
    return template._pool
