"""`belljar learn`: the least policy that lets a script pass, found by trying, and true when tried again."""

import json
import os
import pathlib
import subprocess
import tempfile

import pytest

BUILD = pathlib.Path(os.environ.get("BELLJAR_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
COMMAND = str(BUILD / "belljar")
PROGRAMS = pathlib.Path(__file__).resolve().parent / "language" / "everyday" / "programs"


@pytest.fixture
def folder():
    """A directory that the user of the sandbox can reach and write to."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o777)
        yield pathlib.Path(path)


def learn(folder, text, *options, arguments=(), stdin=b"", name="job.py"):
    script = folder / "scripts" / name
    script.parent.mkdir(exist_ok=True)
    script.parent.chmod(0o755)
    script.write_text(text)
    done = subprocess.run(
        [COMMAND, "learn", *map(str, options), str(script), *arguments], input=stdin, capture_output=True, timeout=120
    )
    done.script = script
    done.stderr = done.stderr.decode()
    done.policy = json.loads(done.stdout) if done.stdout else None
    return done


def run(folder, done, *arguments, stdin=b""):
    """The script under what was written, as a user would."""
    policy = folder / "policy.json"
    policy.write_bytes(done.stdout)
    return subprocess.run(
        [COMMAND, "run", "--policy", str(policy), str(done.script), *arguments], input=stdin, capture_output=True, timeout=60
    )


def test_a_file_by_a_relative_name_is_granted_and_the_guest_starts_where_it_lies(folder):
    (folder / "scripts").mkdir()
    (folder / "scripts/needed.txt").write_text("text")
    (folder / "scripts/asked.txt").write_text("text")
    done = learn(folder, "print(open('needed.txt').read())\n")
    assert done.returncode == 0, done.stderr
    assert done.policy["read"] == [f"{folder}/scripts/needed.txt"] and done.policy["cwd"] == f"{folder}/scripts"
    assert run(folder, done).stdout == b"text\n"
    assert learn(folder, "print(open('nowhere.txt').read())\n").returncode != 0


def test_a_file_that_is_read_is_granted_and_no_more(folder):
    (folder / "needed.txt").write_text("text")
    (folder / "asked.txt").write_text("text")
    done = learn(
        folder,
        f"import os\nos.path.exists('{folder}/asked.txt')\n"
        f"try: open('{folder}/asked.txt')\nexcept OSError: pass\nprint(open('{folder}/needed.txt').read())\n",
    )
    assert done.returncode == 0, done.stderr
    assert done.policy["read"] == [f"{folder}/needed.txt"]
    assert "write" not in done.policy
    assert "verified" in done.stderr and f"can do without read {folder}/asked.txt" in done.stderr
    assert run(folder, done).stdout == b"text\n"


def test_what_it_is_given_and_fed_is_used_for_learning(folder):
    (folder / "data.txt").write_text("data")
    done = learn(folder, "import sys\nopen(sys.stdin.read() + sys.argv[1])\n", arguments=["/data.txt"], stdin=str(folder).encode())
    assert done.policy["read"] == [f"{folder}/data.txt"]
    assert run(folder, done, "/data.txt", stdin=str(folder).encode()).returncode == 0


def test_modules_beside_the_script_are_found(folder):
    (folder / "scripts").mkdir()
    (folder / "scripts" / "neighbour.py").write_text("value = 42")
    done = learn(folder, "import neighbour\nprint(neighbour.value)\n")
    assert done.policy["read"] == [f"{folder}/scripts"]
    assert run(folder, done).stdout == b"42\n"


def test_a_script_that_only_computes_gets_nothing_at_all(folder):
    done = learn(folder, "import math\nprint(math.pi)\n")
    assert done.policy["profile"] == "compute" and "read" not in done.policy
    assert done.policy["memory"] < 512 << 20
    assert run(folder, done).returncode == 0


def test_limits_that_were_reached_are_raised(folder):
    done = learn(folder, "import time\nx = bytearray(300 << 20)\ntime.sleep(1)\n", "--timeout", "0.5", "--memory", "128M")
    assert done.returncode == 0, done.stderr
    assert done.policy["timeout"] > 1 and 300 << 20 < done.policy.get("memory", 512 << 20) <= 1 << 30
    assert run(folder, done).returncode == 0


def test_writing_is_named_and_not_granted(folder):
    done = learn(folder, f"open('{folder}/new.txt', 'w').write('x')\n")
    assert done.returncode == 1 and done.policy is None
    assert f"--write {folder}" in done.stderr
    assert not (folder / "new.txt").exists()


def test_writing_is_learned_where_the_user_says_so(folder):
    (folder / "out").mkdir()
    (folder / "out").chmod(0o777)
    done = learn(folder, f"open('{folder}/out/new.txt', 'w').write('x')\n", "--grant-writes")
    assert done.returncode == 0, done.stderr
    assert done.policy["write"] == [f"{folder}/out"] and "read" not in done.policy
    (folder / "out" / "new.txt").unlink()
    assert run(folder, done).returncode == 0 and (folder / "out" / "new.txt").exists()


def test_what_the_user_granted_stays(folder):
    done = learn(folder, "print(1)\n", "--read", folder, "--threads", "3")
    assert done.policy["read"] == [str(folder)] and done.policy["threads"] == 3


@pytest.mark.skipif(not os.path.isdir("/srv"), reason="there is no /srv here")
def test_a_whole_part_of_the_machine_is_not_granted(folder):
    done = learn(folder, "import os\nos.listdir('/srv')\n")
    assert done.returncode == 1 and "too broad" in done.stderr


def test_a_script_that_fails_by_itself_teaches_nothing(folder):
    done = learn(folder, "raise ValueError('\\x1b[2J')\n")
    assert done.returncode == 1 and done.policy is None
    assert "ValueError" in done.stderr and "\x1b" not in done.stderr and "no policy was found" in done.stderr


def test_what_the_script_prints_is_not_shown(folder):
    (folder / "secret.txt").write_text("secret")
    done = learn(folder, f"import sys\nsys.stderr.write(open('{folder}/secret.txt').read()); print('secret')\n")
    assert done.returncode == 0 and b"secret\n" not in done.stdout and "secret\n" not in done.stderr
    assert set(done.policy) == {"read", "timeout", "memory"}


def test_quiet_leaves_only_the_policy(folder):
    done = learn(folder, "print(1)\n", "--quiet")
    assert done.stderr == "" and done.returncode == 0


def test_no_script_is_a_usage_error():
    assert subprocess.run([COMMAND, "learn"], capture_output=True, timeout=60).returncode == 2


# ---- Under a language policy --------------------------------------------------------------------------------------


def test_the_least_language_policy_has_what_the_script_names_and_no_more(folder):
    done = learn(
        folder,
        "import math as m\nfrom string import digits, hexdigits\nimport os.path\n"
        "assert m.floor(2.5) == 2 and digits[0] == '0' and hexdigits\nos.path.join('a', 'b')\n",
        "--config",
    )
    assert done.returncode == 0, done.stderr
    assert done.policy["feature"] == ["math"]
    assert done.policy["allow_module"] == ["string:digits,hexdigits", "os.path:join"]
    assert run(folder, done).returncode == 0


def test_features_are_learned_from_what_was_blocked(folder):
    done = learn(folder, "import datetime\nprint(datetime.date(2000, 1, 1))\nraise SystemExit(0)\n", "--config")
    assert done.returncode == 0, done.stderr
    assert sorted(done.policy["feature"]) == ["datetime", "exit", "stdout"]
    assert run(folder, done).stdout == b"2000-01-01\n"


def test_a_class_that_has_to_be_the_real_one_is_given_as_it_is(folder):
    text = "from collections import OrderedDict\nd = OrderedDict()\nd[1] = 2\nassert d[1] == 2\n"
    done = learn(folder, text, "--config")
    assert done.policy["allow_safe_module"] == ["collections:OrderedDict"] and not done.policy["allow_module"]
    assert run(folder, done).returncode == 0


def test_under_what_was_learned_the_rest_is_still_blocked(folder):
    done = learn(folder, "import math\nmath.pi\n", "--config")
    assert run(folder, done).returncode == 0
    done.script.write_text("import os\n")
    assert b'Import "os" blocked by the sandbox' in run(folder, done).stderr


@pytest.mark.parametrize("name", ["exercises", "transform"])
def test_honest_programs_get_a_policy_without_a_warning(folder, name):
    done = learn(folder, (PROGRAMS / f"{name}.py").read_text(), "--config")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr and "everyday" not in done.policy["feature"]
    assert run(folder, done).returncode == 0


def test_what_undoes_the_policy_comes_with_a_warning(folder):
    text = "import pickle\nfrom functools import singledispatch\nassert pickle.loads(pickle.dumps([1])) == [1]\n"
    text += "@singledispatch\ndef f(x): return x\nassert f(1) == 1\n"
    done = learn(folder, text, "--config", "--quiet")
    assert done.returncode == 0, done.stderr
    for name in ("pickle.dumps", "pickle.loads", "functools.singledispatch"):
        assert f"warning: {name} undoes the language policy" in done.stderr


def test_files_are_learned_before_the_language(folder):
    (folder / "a.txt").write_text("text")
    done = learn(folder, f"assert open('{folder}/a.txt').read() == 'text'\n", "--config")
    assert done.returncode == 0, done.stderr
    assert done.policy["read"] == [f"{folder}/a.txt"]
    assert run(folder, done).returncode == 0


def test_a_script_that_no_language_policy_lets_pass_is_said_to_be_so(folder):
    done = learn(folder, "def f(): pass\nf.__globals__\n", "--config")
    assert done.returncode == 1 and done.policy is None and "no language policy was found" in done.stderr


def test_a_language_policy_is_found_or_given(folder):
    assert learn(folder, "1\n", "--config", "--feature", "math").returncode == 2


# ---- How the command gets to the search ---------------------------------------------------------------------------


def test_every_argument_after_the_script_is_the_scripts_own(folder):
    done = learn(
        folder,
        "import sys\nassert sys.argv[1:] == ['--', '-x', '--config', '--'], sys.argv\n",
        arguments=["--", "-x", "--config", "--"],
    )
    assert done.returncode == 0, done.stderr


def test_a_script_that_cannot_be_read_is_a_usage_error(folder):
    (folder / "latin.py").write_bytes(b"x = '\xe9'\n")
    for path, said in ((folder / "latin.py", "cannot be decoded"), (folder / "gone.py", "cannot read"), (folder, "cannot read")):
        done = subprocess.run([COMMAND, "learn", path], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (2, "") and said in done.stderr and str(path) in done.stderr


def test_the_interpreter_that_the_user_names_is_used_or_refused(folder):
    asked = folder / "asked"
    script = folder / "job.py"
    script.write_text("1\n")
    wrapper = folder / "wrapper"
    wrapper.write_text(f'#!/bin/sh\necho x >> {asked}\nexec /usr/bin/python3 "$@"\n')
    wrapper.chmod(0o755)
    done = subprocess.run([COMMAND, "learn", script], env={**os.environ, "BELLJAR_PYTHON": str(wrapper)},
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60)  # fmt: skip
    assert done.returncode == 0 and asked.read_text() == "x\nx\n"
    for wrong in ("/nowhere/python3", "/bin/false"):
        done = subprocess.run([COMMAND, "learn", script], env={**os.environ, "BELLJAR_PYTHON": wrong},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)  # fmt: skip
        assert done.returncode == 125 and wrong in done.stderr and "BELLJAR_PYTHON" in done.stderr


def test_the_interpreter_beside_the_command_comes_first(folder):
    (folder / "bin").mkdir()
    (folder / "bin" / "belljar").symlink_to(COMMAND)
    wrapper = folder / "bin" / "python3"
    wrapper.write_text(f'#!/bin/sh\necho x >> {folder}/asked\nexec /usr/bin/python3 "$@"\n')
    wrapper.chmod(0o755)
    (folder / "job.py").write_text("1\n")
    done = subprocess.run(
        [folder / "bin" / "belljar", "learn", folder / "job.py"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    assert done.returncode == 0 and (folder / "asked").exists()


def test_modules_in_the_current_directory_are_not_part_of_belljar(folder):
    for name in ("json.py", "belljar.py"):
        (folder / name).write_text("raise SystemExit('hijacked')")
    (folder / "job.py").write_text("1\n")
    done = subprocess.run(
        [COMMAND, "learn", "job.py"], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_paths_that_are_not_utf8_do_no_harm(folder):
    done = learn(folder, "try: open(b'/etc/\\xff\\x1b[2J')\nexcept OSError: pass\nopen('/nowhere')\n")
    assert done.returncode == 1 and "\x1b" not in done.stderr and "Unicode" not in done.stderr
