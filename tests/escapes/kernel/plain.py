"""The positive control: runs probes without any sandbox, as an ordinary user, each in a child process of its own.

stdin: JSON {uid, context, classes: {name: text}, shared: text}. stdout: JSON {name: [[verdict, detail], …]}."""

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time

SECONDS = 4.0


def child(write, code, context, index):
    os.setsid()
    devnull = os.open("/dev/null", os.O_RDONLY)
    os.dup2(devnull, 0)
    os.dup2(write, 1)
    os.dup2(write, 2)
    os.dup2(devnull, 3)  # where a guest has its channel
    os.closerange(4, 64)
    namespace = {"__name__": "__main__", **context}
    exec(code, namespace)
    namespace["run_probe"](index)
    os._exit(0)


def run(code, context, index):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child(write, code, context, index)
        except SystemExit:
            pass
        except BaseException as problem:
            os.write(1, f"@@CONTROL {problem!r}\n".encode())
        finally:
            os._exit(1)
    os.close(write)
    output, deadline = b"", time.monotonic() + SECONDS
    while b"@@" not in output or not output.endswith(b"\n"):
        ready, _, _ = select.select([read], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            break
        piece = os.read(read, 65536)
        if not piece:
            break
        output = (output + piece)[-100_000:]
    os.close(read)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    _, status = os.waitpid(pid, 0)
    line = output.rpartition(b"@@")[2].decode("utf-8", "replace").strip() if b"@@" in output else ""
    if line:
        return line.partition(" ")[::2]
    if time.monotonic() >= deadline:
        return ("TIMEOUT", "")
    return ("DIED", f"status {status:#x}")


def main():
    request = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(request["uid"], request["uid"], request["uid"])
        os.setresuid(request["uid"], request["uid"], request["uid"])
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # dumpable again, as an ordinary program is
    answer = {}
    for name, text in request["classes"].items():
        context = dict(request["context"], host=os.getppid(), victim=1, zygote=1, supervisor=1)
        code = compile(request["shared"] + text, f"<{name}>", "exec")
        namespace = {"__name__": "__main__", **context}
        exec(code, namespace)
        rows = []
        for index in range(len(namespace["PROBES"])):
            # Each probe has a victim of its own: an ordinary process of the same user.
            victim = os.fork()
            if victim == 0:
                os.setsid()
                signal.alarm(20)
                while True:
                    signal.pause()
            rows.append(run(code, dict(context, victim=victim, zygote=victim, supervisor=victim), index))
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.waitpid(victim, 0)
        answer[name] = rows
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
