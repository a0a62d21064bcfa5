"""What a program of the command line finds around it: its own folder, a directory to start in, files in and out, variables, a
seed, a time, an interpreter; and what is said where one of them cannot be had."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

COMMAND = shutil.which("belljar") or str(pathlib.Path(os.environ.get("BELLJAR_BUILD", "build")) / "belljar")
IS_ROOT = os.geteuid() == 0
GUEST_USER = 65534


def belljar(*arguments, check=0, cwd=None, **env):
    """Runs the command: (stdout, stderr)."""
    done = subprocess.run([COMMAND, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=120, cwd=cwd,
                          text=True, errors="replace", env={**os.environ, **env})  # fmt: skip
    assert done.returncode == check, done.stderr or done.stdout
    return done.stdout, done.stderr


@pytest.fixture
def folder():
    """A project that everybody can reach: pytest's own folders are closed to the user who runs the sandbox."""
    with tempfile.TemporaryDirectory(prefix="belljar-place-") as name:
        path = pathlib.Path(name).resolve()
        path.chmod(0o755)
        (path / "helper.py").write_text("NAME = 'helper'\n")
        (path / "data.csv").write_text("1,2\n")
        yield path


def script(folder, text, name="main.py"):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


# ---- The script's own folder ----


@pytest.mark.core
def test_a_script_imports_and_opens_what_lies_beside_it(folder):
    main = script(folder, "import helper, os\nprint(helper.NAME, open('data.csv').read().strip(), os.getcwd())\n")
    for where in (folder, "/"):
        assert belljar("run", main, cwd=where)[0] == f"helper 1,2 {folder}\n"


def test_without_its_folder_a_script_is_told_which_option_gives_it(folder):
    for text, target in (("import helper", "helper"), ("open('data.csv')", "data.csv")):
        main = script(folder, text)
        said = belljar("run", "--no-script-dir", main, check=1, cwd=folder)[1]
        assert f"refused {target}" in said and f"--read {folder}" in said, said
        record = json.loads(belljar("run", "--json", "--no-script-dir", main, check=1, cwd=folder)[0])["violations"][0]
        assert record["target"] == target and f"--read {folder}" in record["hint"]
        belljar("run", "--no-script-dir", "--read", folder, main, cwd=folder)


def test_a_file_that_is_nowhere_is_not_called_refused(folder):
    said = belljar("run", script(folder, "open('nowhere.csv')"), check=1, cwd=folder)[1]
    assert "FileNotFoundError" in said and "refused" not in said


def test_a_home_and_a_folder_for_everybody_are_not_granted_by_themselves(folder):
    main = script(folder, "import helper")
    assert "home" in belljar("run", main, check=1, HOME=str(folder))[1]
    (folder / "me").mkdir()
    assert "home" in belljar("run", main, check=1, HOME=str(folder / "me"))[1]
    folder.chmod(0o1777)
    assert "everybody may write" in belljar("run", main, check=1, HOME="/nowhere")[1]
    folder.chmod(0o755)
    belljar("run", main, HOME="/nowhere")


def test_a_language_policy_and_a_profile_without_files_get_no_folder(folder):
    main = script(folder, "print(1)")
    for options in (["--feature", "stdout"], ["--profile", "compute"]):
        assert json.loads(belljar("explain", "--json", *options, main)[0])["options"]["read"] == []
        assert belljar("run", *options, main)[0] == "1\n"


def test_explain_shows_the_folder_and_why_not(folder):
    main = script(folder, "")
    shown = json.loads(belljar("explain", "--json", main)[0])["options"]
    assert shown["read"] == [str(folder)] and shown["cwd"] == str(folder)
    assert f"own folder is granted for reading: {folder} (--no-script-dir" in belljar("explain", main)[0]
    assert "not granted, as --no-script-dir says so" in belljar("explain", "--no-script-dir", main)[0]
    assert json.loads(belljar("explain", "--json")[0])["options"]["read"] == []


@pytest.mark.skipif(not IS_ROOT, reason="only for root the sandbox is run by somebody else")
def test_a_folder_that_the_sandboxs_user_cannot_read_is_left_out_and_said(folder):
    main = script(folder, "print(1)")
    folder.chmod(0o700)
    assert belljar("run", main)[0] == "1\n"
    script(folder, "import helper")
    assert "cannot read it" in belljar("run", main, check=1)[1]


# ---- Where it starts ----


def test_the_guest_starts_in_the_callers_directory_if_that_is_granted(folder):
    main = script(folder, "import os; print(os.getcwd())", "below/main.py")
    where = "import os; print(os.getcwd())"
    assert belljar("run", main, cwd=folder)[0] == f"{folder}/below\n"
    assert belljar("run", "--read", folder, main, cwd=folder)[0] == f"{folder}\n"
    assert belljar("run", "--read", ".", "-c", where, cwd=folder)[0] == f"{folder}\n"
    assert belljar("run", "-c", where, cwd=folder)[0] == "/work\n"
    assert belljar("run", "--read", ".", "-m", "helper", cwd=folder) == ("", "")


def test_cwd_is_granted_or_the_guests_own(folder):
    where = "import os; print(os.getcwd(), os.environ['PWD'])"
    assert belljar("run", "--cwd", "/work/new/one", "-c", where)[0] == "/work/new/one /work/new/one\n"
    assert belljar("run", "--read", folder, "--cwd", folder, "-c", where)[0] == f"{folder} {folder}\n"
    assert "--read /etc" in belljar("run", "--cwd", "/etc", "-c", where, check=2)[1]
    assert "Not a directory" in belljar("run", "--read", folder, "--cwd", folder / "data.csv", "-c", where, check=2)[1]


def test_modules_are_found_where_a_program_without_a_file_starts(folder):
    script(folder, "import sys, helper; print(helper.NAME, sys.argv[1:])", "show.py")
    code = "import helper; print(helper.NAME)"
    placed = ["--file", folder / "helper.py:deep/helper.py", "--file", folder / "show.py:deep/show.py", "--cwd", "/work/deep"]
    for place in (["--read", folder, "--cwd", folder], placed):
        assert belljar("run", *place, "-c", code, cwd="/")[0] == "helper\n"
        assert belljar("run", *place, "-m", "show", "x", cwd="/")[0] == "helper ['x']\n"
        done = subprocess.run([COMMAND, "run", *map(str, place), "-"], input=code.encode(), capture_output=True, cwd="/")
        assert done.stdout == b"helper\n", done.stderr
    _, stderr = belljar("run", "--read", folder, "--cwd", "/work", "-c", code, check=1, cwd=folder)
    assert "No module named 'helper'" in stderr


def test_what_follows_a_module_is_its_own(folder):
    script(folder, "import sys; print(sys.argv[1:])", "show.py")
    for given in (["-c", "x"], ["-m", "y"], ["--timeout", "z"]):
        assert belljar("run", "--file", folder / "show.py", "-m", "show", *given)[0] == f"{given}\n"


def test_a_directory_that_cannot_be_made_is_an_error_that_says_so(folder):
    for way in (["-c", "pass"], ["-m", "json.tool"]):
        _, stderr = belljar("run", "--scratch-files", "1", "--cwd", "/work/a/b/c", *way, check=1)
        assert "cwd: /work/a/b/c cannot be made" in stderr and "--scratch-files" in stderr
    assert belljar("run", "--cwd", "/work/a/b/c", "-c", "import os; print(os.getcwd())")[0] == "/work/a/b/c\n"


def test_a_relative_name_of_the_callers_directory_is_told_with_the_option(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "in.csv").write_text("")
    said = belljar("run", "-c", "open('sub/in.csv')", check=1, cwd=folder)[1]
    assert "refused sub/in.csv" in said and f"--file {folder}/sub/in.csv" in said
    assert belljar("run", "--read", ".", "-c", "open('sub/in.csv')", cwd=folder) == ("", "")


@pytest.mark.core
def test_refusals_in_grants_below_scratch_places_have_rule_and_remedy(folder):
    assert str(folder).startswith("/tmp") or pytest.skip("temporary folders lie elsewhere here")
    for code in (f"open('{folder}/data.csv', 'w')", f"import os; os.remove('{folder}/data.csv')", "open('new.txt', 'w')"):
        said = belljar("run", "--read", folder, "--cwd", folder, "-c", code, check=126)[1]
        assert "rule: write" in said and "--write" in said, said
    belljar("run", "--read", folder, "-c", "open('/tmp/mine', 'w'); open('new.txt', 'w')")


# ---- Files in and out ----


def test_files_and_folders_are_copied_in(folder):
    (folder / "tree" / "a").mkdir(parents=True)
    (folder / "tree" / "a" / "one.txt").write_text("1")
    (folder / "tree" / "link").symlink_to("/etc/hostname")
    code = "import os\nprint(sorted(os.path.join(at, n) for at, _, names in os.walk('.') for n in names), os.getcwd())"
    arguments = ["--file", folder / "data.csv", "--file", f"{folder}/data.csv:in/other.csv", "--file", folder / "tree",
                 "--file", f"{folder}/data.csv:put/"]  # fmt: skip
    printed, said = belljar("run", *arguments, "-c", code)
    assert printed == "['./data.csv', './in/other.csv', './put/data.csv', './tree/a/one.txt'] /work\n"
    assert "tree/link is left out" in said  # it would lead beyond what was named


def test_a_file_that_says_it_is_empty_goes_in_whole():
    code = "print(open('version').read(), end='')"
    assert belljar("run", "--file", "/proc/version", "-c", code)[0] == pathlib.Path("/proc/version").read_text()


def test_a_file_that_is_too_large_does_not_go_in(tmp_path):
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", (64 << 20) + 1)
    assert "more than 64 MiB" in belljar("run", "--file", tmp_path / "large", "-c", "1", check=2)[1]


@pytest.mark.parametrize("value, complaint", [
    ("nowhere.txt", "No such file"), ("data.csv:", "a name follows the colon"), ("data.csv:../up", "handed in below"),
    ("/dev/null", "neither a regular file nor a directory"),
])  # fmt: skip
def test_a_file_that_cannot_go_in_is_said(folder, value, complaint):
    status = 125 if ".." in value else 2
    assert complaint in belljar("run", "--file", value, "-c", "1", check=status, cwd=folder)[1]


def test_two_files_of_one_name_are_a_usage_error(folder):
    same = ["--file", folder / "data.csv", "--file", f"{folder}/helper.py:data.csv"]
    assert "same name" in belljar("run", *same, "-c", "1", check=2)[1]


@pytest.mark.core
def test_what_the_run_wrote_is_collected(folder):
    out = folder / "deep" / "out"
    code = "import os; os.makedirs('a/b'); open('a/b/x.txt', 'w').write('x'); open('top.bin', 'wb').write(bytes(3 << 20))"
    belljar("run", "--file", folder / "data.csv", "--out", out, "-c", code)
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == ["a/b/x.txt", "top.bin"]
    assert (out / "top.bin").stat().st_size == 3 << 20
    belljar("run", "--file", folder / "data.csv", "--out", out, "-c", "open('data.csv', 'a').write('3\\n')")
    assert (out / "data.csv").read_text() == "1,2\n3\n"  # handed in, and changed


def test_with_out_a_script_reads_beside_itself_and_writes_what_is_collected(folder):
    text = ("import helper, os\nrows = open('data.csv').read()\nopen('result.txt', 'w').write(rows * 2)\n"
            "print(os.getcwd(), os.path.islink('data.csv'))\n")  # fmt: skip
    main = script(folder, text)
    assert belljar("run", "--out", folder / "out", main, cwd="/")[0] == "/work True\n"
    assert [(path.name, path.read_text()) for path in (folder / "out").iterdir()] == [("result.txt", "1,2\n1,2\n")]
    (folder / "mine.csv").write_text("mine")  # handed in under the name of a neighbour: it goes first
    belljar("run", "--file", f"{folder}/mine.csv:data.csv", "--out", folder / "out2", main)
    assert (folder / "out2" / "result.txt").read_text() == "minemine"
    script(folder, "open('data.csv', 'w')")
    assert "(rule write)" in belljar("run", "--out", folder / "out3", main, check=126)[1]
    assert (folder / "data.csv").read_text() == "1,2\n"


def test_nothing_is_overwritten_without_force(folder):
    out = folder / "out"
    write = "open('one', 'w').write('new'); open('two', 'w').write('new')"
    out.mkdir()
    (out / "one").write_text("old")
    said = belljar("run", "--out", out, "-c", write, check=125)[1]
    assert "--force" in said and (out / "one").read_text() == "old" and (out / "two").read_text() == "new"
    belljar("run", "--force", "--out", out, "-c", write)
    assert (out / "one").read_text() == "new"
    assert "give that as well" in belljar("run", "--force", "-c", "1", check=2)[1]


def test_the_programs_own_failure_comes_before_that_of_collecting(folder):
    (folder / "one").write_text("old")
    belljar("run", "--out", folder, "-c", "open('one', 'w'); raise SystemExit(3)", check=3)


def test_links_and_hostile_names_lead_nowhere(folder):
    out, outside = folder / "out", folder / "outside"
    out.mkdir()
    outside.mkdir()
    (out / "dir").symlink_to(outside)  # somebody's earlier work
    (out / "file").symlink_to(outside / "target")
    code = """
import os
os.symlink('/etc/passwd', 'passwd'); os.symlink('/etc', 'etc'); os.symlink('../../..', 'up')
os.mkdir('dir'); open('dir/in', 'w').write('x'); open('file', 'w').write('x')
open('a\\nb', 'w').write('x'); open('\\x1b[2J', 'w').write('x'); open('...', 'w').write('dots'); open('-rf', 'w').write('dash')
"""
    for force in ([], ["--force"]):
        said = belljar("run", "--out", out, *force, "-c", code, check=125)[1]
        assert "links are not followed" in said and "\x1b" not in said and "a\nb" not in said
        assert list(outside.iterdir()) == []
    names = sorted(path.name for path in out.iterdir())
    assert names == ["-rf", "...", "dir", "file"] and not (out / "file").is_symlink()


def test_files_with_holes_do_not_fill_the_hosts_disk(folder):
    code = "for name in 'ab':\n with open(name, 'wb') as f: f.seek(3 << 20); f.write(b'x')"
    said = belljar("run", "--scratch", "4M", "--out", folder / "out", "-c", code, check=125)[1]
    assert "b is left out" in said and [path.name for path in (folder / "out").iterdir()] == ["a"]


def test_out_is_looked_at_before_the_run(folder):
    (folder / "file").write_text("")
    said = belljar("run", "--out", folder / "file", "-c", "print('ran')", check=2)
    assert said[0] == "" and "--out" in said[1]
    belljar("run", "--out", folder / "new", "-c", "1")


# ---- Variables, seed, time ----


@pytest.mark.core
def test_variables_are_those_that_were_named(folder):
    code = "import os; print(os.environ.get('A'), os.environ.get('B'), os.environ.get('C'))"
    assert belljar("run", "--env", "A=1=2", "--env", "B", "-c", code, B="from here", C="hidden")[0] == "1=2 from here None\n"
    assert "write --env NOTHERE=VALUE" in belljar("run", "--env", "NOTHERE", "-c", "1", check=2)[1]
    assert "NAME=VALUE" in belljar("run", "--env", "=x", "-c", "1", check=2)[1]


def test_a_seed_makes_runs_repeat_themselves():
    code = ("import random, secrets\nprint(hash('a'), random.random(), secrets.token_hex(4))\n"
            "try:\n import numpy; print(numpy.random.rand(), numpy.random.default_rng().random())\nexcept ImportError: pass")  # fmt: skip
    first = belljar("run", "--seed", 7, "-c", code)[0]
    assert belljar("run", "--seed", 7, "-c", code)[0] == first
    assert belljar("run", "--seed", 8, "-c", code)[0] != first
    assert belljar("run", "-c", code)[0] != belljar("run", "-c", code)[0]
    preloaded = ["run", "--seed", 7, "--preload", "random", "-c", "import random; print(random.random())"]
    assert belljar(*preloaded)[0].split()[0] == first.split()[1]
    assert "whole number" in belljar("run", "--seed", "-1", "-c", "1", check=2)[1]


@pytest.mark.parametrize("given, begins", [
    ("2020-01-31T12:00:00Z", "2020-01-31 12:00"), ("2020-01-31", "2020-01-31 00:00"), ("1580472000", "2020-01-31 12:00"),
    ("2020-01-31 12:00+02:00", "2020-01-31 10:00"),
])  # fmt: skip
def test_the_clock_starts_when_it_is_told(given, begins):
    code = "import time, datetime; print(datetime.datetime.now()); print(datetime.datetime.fromtimestamp(time.time()))"
    assert [line[:16] for line in belljar("run", "--start-time", given, "-c", code)[0].splitlines()] == [begins, begins]


@pytest.mark.parametrize("given", ["yesterday", "2020-02-31", "2020-01-31T25:00", "-5", "2020-01-31T12:00:00X"])
def test_a_time_that_is_none_is_a_usage_error(given):
    assert "2026-01-31T12:00:00Z" in belljar("run", "--start-time", given, "-c", "1", check=2)[1]


# ---- Words people look for ----


@pytest.mark.parametrize("word, answer", [
    ("--network", "no network"), ("-t", "--timeout"), ("--cpus", "--threads"), ("--gpu", "no GPU"), ("--gpus", "no GPU"),
    ("--envs", "--env NAME=VALUE"), ("-e", "--env"), ("--volume", "--read"), ("-v", "--read"), ("--mem", "--memory"),
    ("--workdir", "--cwd"), ("--requirements", "--python"), ("--privileged", "never without its jail"),
    ("--image", "no image"), ("--tiemout", "did you mean --timeout?"),
])  # fmt: skip
def test_words_of_the_field_are_answered(word, answer):
    assert answer in belljar("run", word, "x", check=2)[1]


def test_policies_of_python_answer_the_same_words():
    import belljar as package

    with pytest.raises(package.PolicyError, match="no network"):
        package.Policy(network=True)
    assert package.Policy(seed=1, start_time="2020-01-31", env={"A": "1"}).options["env"] == {"A": "1"}


# ---- Who can reach what ----


@pytest.mark.skipif(not IS_ROOT, reason="only for root the sandbox is run by somebody else")
def test_a_folder_of_roots_that_is_to_be_written_is_a_usage_error(folder):
    said = belljar("run", "--write", folder, "-c", "1", check=2)[1]
    assert f"user {GUEST_USER}" in said and f"chown -R {GUEST_USER} {folder}" in said and "--user UID" in said
    os.chown(folder, GUEST_USER, GUEST_USER)
    belljar("run", "--write", folder, "-c", f"open('{folder}/new', 'w')")
    os.chown(folder, 12345, 12345)
    belljar("run", "--write", folder, "--user", 12345, "-c", f"open('{folder}/newer', 'w')")


@pytest.mark.skipif(not IS_ROOT, reason="only for root the sandbox is run by somebody else")
@pytest.mark.parametrize("path", ["/usr", "/usr/lib", "/etc/passwd", "/var"])
def test_nobody_is_told_to_give_the_systems_folders_away(path):
    said = belljar("run", "--write", path, "-c", "1", check=2)[1]
    assert f"{path}: Permission denied for user {GUEST_USER}" in said and "grant a folder that is that user's own" in said
    assert "chown" not in said and "--user UID" in said


@pytest.mark.skipif(not IS_ROOT, reason="only for root the sandbox is run by somebody else")
def test_an_interpreter_behind_a_closed_door_is_said_with_the_door(folder):
    closed = folder / "closed"
    closed.mkdir()
    (closed / "python3").symlink_to(sys.executable)
    closed.chmod(0o700)
    for command in (["run", "-c", "1"], ["shell"]):
        said = belljar(command[0], "--python", closed / "python3", *command[1:], check=2)[1]
        assert f"directory {closed} is closed to that user" in said and "--python" in said and "chmod o+x" in said
    shown = json.loads(belljar("doctor", "--json", "--python", closed / "python3", check=1)[0])["interpreter"]
    assert not shown["reachable"] and shown["from"] == "named by --python"
    # That of the command's own environment was named by nobody: another is taken, and it is said.
    printed, said = belljar("run", "-c", "print(1)", BELLJAR_GUEST_PYTHON=str(closed / "python3"))
    assert printed == "1\n" and f"directory {closed} is closed" in said and "guests get /usr/bin/python3" in said
    closed.chmod(0o755)
    assert belljar("run", "-c", "print(1)", BELLJAR_GUEST_PYTHON=str(closed / "python3")) == ("1\n", "")


def test_doctor_names_the_interpreter(folder):
    shown = json.loads(belljar("doctor", "--json")[0])["interpreter"]
    assert shown["path"] == "/usr/bin/python3" and shown["reachable"] and shown["user"] == (os.geteuid() or GUEST_USER)
    assert "Guests get /usr/bin/python3 (the default)" in belljar("doctor")[0]
    (folder / "python3").symlink_to("/usr/bin/python3")
    shown = json.loads(belljar("doctor", "--json", BELLJAR_GUEST_PYTHON=str(folder / "python3"))[0])["interpreter"]
    assert shown["path"] == str(folder / "python3") and "environment" in shown["from"]


# ---- The command by other ways ----


def test_python_dash_m_is_the_command():
    run = [sys.executable, "-m", "belljar", "run", "-c", "print(6 * 7)"]
    assert subprocess.run(run, capture_output=True, text=True, timeout=60).stdout == "42\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_have_every_option_and_their_shell_reads_them(shell, tmp_path):
    printed = belljar("completion", shell)[0]
    for word in ("run", "doctor", "timeout", "no-script-dir", "cwd"):
        assert word in printed
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: its syntax was not looked at")
    (tmp_path / "completion").write_text(printed)
    assert subprocess.run([shell, "-n", tmp_path / "completion"], capture_output=True, text=True).stderr == ""


def test_bash_completes_commands_options_and_files(tmp_path):
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    (tmp_path / "a file.py").write_text("")
    rows = {"belljar ru": ["run"], "belljar run --time": ["--timeout"], "belljar run --read a": ["a file.py"],
            "belljar run --timeout a": [], "belljar run a": ["a file.py"], "belljar mcp --sess": ["--sessions"],
            "belljar kernel un": ["uninstall"], "belljar completion z": ["zsh"], "belljar kernel install --na": ["--name"]}  # fmt: skip
    for line, wanted in rows.items():
        words = line.split(" ")
        asked = (f"source <({COMMAND} completion bash); COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _belljar; "
                 "printf '%s\\n' \"${COMPREPLY[@]}\"")  # fmt: skip
        found = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, cwd=tmp_path).stdout.split("\n")
        assert [word for word in found if word] == wanted, line


def test_completion_of_an_unknown_shell_names_the_known_ones():
    assert "bash|zsh|fish" in belljar("completion", "tcsh", check=2)[1]
