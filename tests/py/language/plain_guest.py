"""Runs one program under the language policy in a plain process: no jar around it, so only this policy is seen.

plain_guest.py PACKAGES_DIRECTORY EXTENSION_DIRECTORY DESCRIPTOR < request; request: {"config": … or null, "source": …, "namespace": …}
Answers {"error": type name or null, "text": …, "reached": bool, "message": …} on DESCRIPTOR.
"""

import io
import json
import os
import sys


def main():
    request = json.load(sys.stdin)
    answer_to = int(sys.argv[3])
    sys.stdin = io.StringIO(request.get("stdin", ""))
    stdout = sys.stdout = io.TextIOWrapper(os.fdopen(os.dup(1), "wb"), encoding="utf-8")
    write, dumps, leave = os.write, json.dumps, os._exit
    answer = {"error": None, "text": "", "message": "", "reached": False}
    if request["config"] is None:
        namespace = {"__name__": "__main__"}
        run = lambda: exec(compile(request["source"], "<naive>", "exec"), namespace)  # noqa: E731
        show = repr
    else:
        sys.path.insert(0, sys.argv[2])
        import _belljar_language as native

        sys.path.insert(0, sys.argv[1])
        sys.modules["belljar_guest.native"] = native
        sys.modules["belljar"] = type(sys)("belljar")  # without its __init__, which needs a build
        sys.modules["belljar"].__path__ = [os.path.join(sys.argv[1], "belljar")]
        from belljar_guest._language import Language

        for name in [name for name in sys.modules if name.partition(".")[0] in ("belljar", "belljar_guest")]:
            del sys.modules[name]  # in a guest they are not there either
        language = Language(request["config"])
        given = {name: language.proxy(eval(value, {})) for name, value in request.get("given", {}).items()}
        namespace = language.namespace(given)
        sys.path[:] = []
        run = lambda: language.run(request["source"], "<sandbox>", namespace)  # noqa: E731
        show = language.format_exception
    try:
        run()
    except BaseException as error:
        answer["error"] = type(error).__name__
        answer["text"] = show(error)
        try:
            answer["message"] = str(error)
        except Exception as second:
            answer["message"] = f"str() raised {type(second).__name__}"
    answer["reached"] = bool(namespace.get("reached"))
    stdout.flush()
    data = dumps(answer).encode()
    while data:
        data = data[write(answer_to, data) :]
    leave(0)


main()
