# The beginning of the text that the zygote gets: guest/module.c runs it, with `native` (itself) in its namespace and either `ready` (a view
# of what scripts/bundle-guest has compiled) or, where that is of another interpreter, `rest` (the text of the modules), and takes
# `prepare`, `serve` and `interrupted` out of that.
# mypy: ignore-errors

import marshal
import sys

native, rest, ready = globals()["native"], globals()["rest"], globals()["ready"]


class Later(type(sys)):
    """One of our modules, before something of it was wanted."""

    def __getattr__(self, name):
        compiled(self, name)
        return getattr(self, name)

    def __setattr__(self, name, value):
        if name[:2] != "__":
            compiled(self, name)
        type(sys).__setattr__(self, name, value)


def compiled(module, name):
    """Makes a module of it, or all of that again if it did not come to its end, for want of memory or by an interrupt."""
    title = module.__name__
    if title not in texts or title in loading:
        raise AttributeError("module %r has no attribute %r" % (title, name))
    loading.add(title)
    try:
        text = texts[title]
        code = marshal.loads(ready[slice(*text)]) if ready else compile(text, "<host>" if title in HOSTS else "<belljar>", "exec")
        exec(code, module.__dict__)
        module.__class__ = type(sys)
        del texts[title], text, code
    finally:
        loading.discard(title)


def find(name, names=None, local=None, wanted=(), level=0, real=__builtins__["__import__"]):
    """__import__ for our modules: they are in no list of modules that a program sees."""
    return modules.get(name) or real(name, names, local, wanted, level)


HOSTS = {
    "belljar_guest._cells",
    "belljar_guest._host",
    "belljar_guest._session",
    "belljar_guest._settings",
    "belljar_guest._shell",
}  # tracebacks call their frames <host>
modules, loading = {"belljar_guest.native": native}, set()
if ready:
    texts = marshal.loads(ready[int.from_bytes(ready[4:8], "little") :])  # where their code begins and ends
else:
    texts = {title.decode(): text for title, _, text in [part.partition(b"\n") for part in rest.split(b"\n# ==== ")]}
__builtins__["__import__"] = find
package = modules["belljar_guest"] = type(sys)("belljar_guest")
package.native = native
for title in texts:
    modules[title] = Later(title)
    modules[title].__builtins__ = __builtins__
    if title.startswith("belljar_guest."):
        setattr(package, title[14:], modules[title])
native.use_parts(modules["belljar._shared.parts"])
del rest, title

from belljar_guest._run import interrupted, serve
from belljar_guest._zygote import prepare

__all__ = ["interrupted", "prepare", "serve"]
