"""A Jupyter kernel whose code runs in a sandbox. `belljar kernel install` makes it known to Jupyter.

The kernel is this process: it speaks Jupyter's protocol and holds one session. The code of the notebook is in the session's
guest, which has no sockets and no files but those granted."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from belljar import Execution, Policy, Result, Sandbox, SandboxError, Template, __version__
from belljar.adapters._needed import needed
from belljar.adapters._looking import PUT_INPUT, complete, describe, how_complete
from belljar.adapters._runner import Runner
from belljar.adapters._tables import plain_table

with needed("ipykernel", "ipykernel"):
    from ipykernel.kernelapp import IPKernelApp
    from ipykernel.kernelbase import Kernel
    from jupyter_client.kernelspec import KernelSpecManager

__all__ = ["BelljarKernel", "install", "installed", "main", "uninstall"]

_MODULE = "belljar.adapters.jupyter"
_SAFE = {"text/plain": "text", "image/png": "png", "image/jpeg": "jpeg", "application/json": "json"}
_RICH = {"text/html": "html", "text/markdown": "markdown", "image/svg+xml": "svg", "text/latex": "latex",
         "application/javascript": "javascript", "application/pdf": "pdf"}  # fmt: skip
"""What a browser runs, or may run, when a cell shows it: on the page that also commands the notebook server."""


class BelljarKernel(Kernel):
    """Jupyter's side of one session."""

    implementation = "belljar"
    implementation_version = __version__
    banner = "Python in a belljar sandbox"
    policy = Policy(timeout=None)  # whoever sits at a notebook interrupts it
    preload: Sequence[str] = ()
    is_rich = False

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._runner = Runner(self.policy, preload=self.preload)
        self._runner.prepare = self._put_input
        self.language_info = {
            "name": "python", "version": self._runner.sandbox.call(platform.python_version), "mimetype": "text/x-python",
            "file_extension": ".py", "pygments_lexer": "ipython3", "codemirror_mode": {"name": "ipython", "version": 3},
            "nbconvert_exporter": "python",
        }  # fmt: skip

    async def do_execute(self, code: str, silent: bool, store_history: bool = True, user_expressions: Any = None,
                         allow_stdin: bool = False, **others: Any) -> dict[str, Any]:  # fmt: skip
        """Runs a cell; its output goes out as it comes."""
        self._allow_stdin = allow_stdin
        execution, remark = await asyncio.to_thread(self._runner.run, code, **({} if silent else self._callbacks()))
        if remark:
            self._say("stderr", remark + "\n")
        reply = {"execution_count": self.execution_count, "user_expressions": {}, "payload": [], "status": "ok"}
        return reply if execution.error is None else reply | self._failed(execution, silent)

    async def do_complete(self, code: str, cursor_pos: int) -> dict[str, Any]:
        """The names that go on from the cursor, as the session's variables have them."""
        start, matches = await self._ask(complete, code[:cursor_pos].rpartition("\n")[2]) or ("", [])
        return {
            "status": "ok",
            "matches": matches,
            "cursor_start": cursor_pos - len(start),
            "cursor_end": cursor_pos,
            "metadata": {},
        }

    async def do_inspect(self, code: str, cursor_pos: int, detail_level: int = 0, omit_sections: Any = ()) -> dict[str, Any]:
        """Help for the name at the cursor, or for the function whose arguments are being typed."""
        end = re.match(r"\w*", code[cursor_pos:])
        found = re.search(r"([A-Za-z_][\w.]*)\(?$", code[:cursor_pos] + (end[0] if end else ""))
        text = await self._ask(describe, found[1].rstrip("."), detail_level > 0) if found else None
        return {"status": "ok", "found": text is not None, "data": {} if text is None else {"text/plain": text}, "metadata": {}}

    async def do_is_complete(self, code: str) -> dict[str, Any]:
        """Whether a console is to run what was typed, or to wait for more."""
        status, indent = await self._ask(how_complete, code) or ("unknown", "")
        return {"status": status, "indent": indent} if status == "incomplete" else {"status": status}

    async def do_shutdown(self, restart: bool) -> dict[str, Any]:
        """Ends the session."""
        self._runner.kill()
        return {"status": "ok", "restart": restart}

    async def interrupt_request(self, stream: Any, ident: Any, parent: Any) -> None:
        """KeyboardInterrupt in the cell that runs; the session stays."""
        self._runner.interrupt()
        self.session.send(stream, "interrupt_reply", {"status": "ok"}, parent, ident=ident)

    async def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function says of the session; None if the session's own code gets in its way."""

        def step(sandbox: Sandbox) -> Any:
            return sandbox.call(function, *arguments)

        try:
            return (await asyncio.to_thread(self._runner.do, step))[0]
        except Exception:
            return None

    def _put_input(self, sandbox: Sandbox) -> None:
        """`input()` asks whoever sits at the notebook."""
        sandbox.expose(self._input, "_belljar_input")
        sandbox.run_code(PUT_INPUT)

    def _input(self, prompt: str) -> str | None:
        try:
            return str(self.raw_input(prompt)) if self._allow_stdin else None
        except EOFError:
            return None

    def _callbacks(self) -> dict[str, Any]:
        return {"on_stdout": lambda text: self._say("stdout", text), "on_stderr": lambda text: self._say("stderr", text),
                "on_result": self._show}  # fmt: skip

    def _say(self, stream: str, text: str) -> None:
        self.send_response(self.iopub_socket, "stream", {"name": stream, "text": text})

    def _show(self, result: Result) -> None:
        content: dict[str, Any] = {"data": forms(result, self.is_rich), "metadata": {}}
        if result.is_main_result:
            content["execution_count"] = self.execution_count
        self.send_response(self.iopub_socket, "execute_result" if result.is_main_result else "display_data", content)

    def _failed(self, execution: Execution, silent: bool) -> dict[str, Any]:
        error = execution.error
        assert error is not None
        last = f"{error.name}: {error.value}"
        lines = error.traceback.rstrip("\n").split("\n") if error.traceback else []
        if not lines or execution.verdict not in ("error", "violation"):
            lines.append(last)  # where it was stopped does not say by what
        content = {"ename": error.name, "evalue": error.value, "traceback": lines}
        if not silent:
            self.send_response(self.iopub_socket, "error", content)
        return {"status": "error", **content}


def forms(result: Result, is_rich: bool) -> dict[str, Any]:
    """A result as Jupyter has it. Unless it is rich, without what a browser would run; of HTML, its table."""
    table = _SAFE | _RICH if is_rich else _SAFE
    made = {mime: getattr(result, name) for mime, name in table.items() if getattr(result, name) is not None}
    if is_rich:
        made.update(result.extra or {})
    elif result.html is not None and (html := plain_table(result.html)):
        made["text/html"] = html
    return made


def install(name: str = "belljar", *, policy: str | None = None, preload: str = "", rich: bool = False, user: bool = True,
            prefix: str | None = None) -> str:  # fmt: skip
    """Makes the kernel known to Jupyter, and returns the folder of its specification. The policy's file is copied there."""
    _try(policy, list(filter(None, preload.split(","))))
    with tempfile.TemporaryDirectory() as folder:
        # -P: Jupyter starts a kernel in the notebook's folder, whose files are no modules of this process.
        argv = [sys.executable, "-P", "-m", _MODULE, "run", "-f", "{connection_file}"]
        if policy is not None:
            shutil.copyfile(policy, Path(folder, "policy.json"))
            argv += ["--policy", "{resource_dir}/policy.json"]
        if preload:
            argv += ["--preload", preload]
        if rich:
            argv += ["--rich"]
        spec = {"argv": argv, "display_name": f"Python ({name})", "language": "python", "interrupt_mode": "message"}
        Path(folder, "kernel.json").write_text(json.dumps(spec, indent=1))
        Path(folder).chmod(0o755)
        return str(KernelSpecManager().install_kernel_spec(folder, name, user=user and prefix is None, prefix=prefix))


def _try(policy: str | None, preload: Sequence[str]) -> None:
    """Makes a session as the kernel will. `SandboxError` or `PolicyError`: here somebody reads why it cannot be."""
    made = Policy.from_file(policy) if policy is not None else BelljarKernel.policy
    with Template(made, preload=preload) as template, template.sandbox() as sandbox:
        there, here = template.python[:2], sys.version_info[:2]
        if there != here:
            raise SandboxError(f"the kernel would run {sys.executable} (Python {here[0]}.{here[1]}) and cells another Python "
                               f"({there[0]}.{there[1]}): both have to be of one version; choose one with --python, or the other with "
                               "BELLJAR_PYTHON", "install")  # fmt: skip
        sandbox.run_code("1").raise_for_error()


def installed() -> dict[str, str]:
    """The kernels of belljar that Jupyter knows: name → folder of the specification."""
    specs = KernelSpecManager().get_all_specs()
    return {name: str(one["resource_dir"]) for name, one in sorted(specs.items()) if _MODULE in one["spec"].get("argv", ())}


def uninstall(name: str = "belljar") -> str:
    """Takes a kernel of belljar's away, and returns the folder that its specification had. `ValueError` for any other."""
    if name not in (known := installed()):
        there = ", ".join(known) or "there are none"
        raise ValueError(f"{name} is no kernel of belljar's that Jupyter knows ({there}): name one with --name")
    return str(KernelSpecManager().remove_kernel_spec(name))


def main(arguments: Sequence[str] | None = None) -> None:
    """`install` the kernel, or `run` it, which is what Jupyter does."""
    parser = argparse.ArgumentParser(prog="python -m belljar.adapters.jupyter", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--policy", metavar="FILE", help="what cells may do: a JSON file, as of `belljar run --policy`")
    common.add_argument(
        "--preload", default="", metavar="MODULES", help="modules that are imported before a session begins, with commas"
    )
    common.add_argument(
        "--rich",
        action="store_true",
        help="also show HTML, SVG, Markdown, LaTeX and JavaScript of cells. A browser runs it on the page that commands the "
        "notebook server: only for code that you trust with that",
    )
    run = verbs.add_parser("run", parents=[common], help="speak Jupyter's protocol (Jupyter calls this)")
    run.add_argument("-f", dest="file", required=True, metavar="FILE", help="Jupyter's connection file")
    put = verbs.add_parser("install", parents=[common], help="make the kernel known to Jupyter")
    put.add_argument("--name", default="belljar", help="the kernel's name: belljar")
    put.add_argument("--system", action="store_true", help="for all users, instead of for you")
    put.add_argument("--sys-prefix", action="store_true", help="in this virtual environment")
    given = parser.parse_args(arguments)
    if given.verb == "install":
        print(install(given.name, policy=given.policy, preload=given.preload, rich=given.rich, user=not given.system,
                      prefix=sys.prefix if given.sys_prefix else None))  # fmt: skip
        return
    chosen: dict[str, Any] = {"preload": list(filter(None, given.preload.split(","))), "is_rich": given.rich}
    if given.policy is not None:
        chosen["policy"] = Policy.from_file(given.policy)
    # ignore_cwd: as -P, which IPython takes back.
    argv = ["-f", given.file, "--InteractiveShellApp.ignore_cwd=True"]
    IPKernelApp.launch_instance(argv=argv, kernel_class=type("BelljarKernel", (BelljarKernel,), chosen))


if __name__ == "__main__":
    main()
