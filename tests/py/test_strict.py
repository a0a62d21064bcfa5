"""The deny-by-default policy by its short form: --feature and --allow-module, and the same in Python and in policy files."""

import json

import belljar as package
import os

import pytest
from test_cli import belljar

from belljar import Policy, PolicyError, StartError


@pytest.mark.parametrize(
    ("arguments", "code", "status", "stdout", "error"),
    [
        (["--feature", "stdout,math"], "import math; print(math.sqrt(16))", 0, "4.0\n", ""),
        (["--feature", "stdout", "--feature", "math"], "import math; print(math.sqrt(16))", 0, "4.0\n", ""),
        (["--feature", "stdout"], "import math", 1, "", 'ImportError: Import "math" blocked by the sandbox'),
        (["--feature", "math"], "print(1)", 1, "", "SandboxError: Block access to sys.stdout.write"),
        (["--feature="], "import math", 1, "", 'ImportError: Import "math" blocked by the sandbox'),
        (["--feature", "stdout", "--allow-module", "json:loads,dumps"], "import json; print(json.loads('[1]'))", 0, "[1]\n", ""),
        (["--allow-module", "json:loads"], "import json; json.dumps", 1, "", "SafeModule 'json' has no attribute 'dumps'"),
        (["--allow-module", "json:loads"], "import os", 1, "", 'Import "os" blocked by the sandbox'),
        (["--feature", "exit"], "exit(3)", 3, "", ""),
        (["--feature", "stdout"], "exit(3)", 1, "", "exit() function blocked by the sandbox"),
        (["--feature", "stdout,regex", "--profile", "compute"], "import re; print(re.findall('b', 'abc'))", 0, "['b']\n", ""),
        (["--feature", "stdout", "--profile", "compute"], "import json", 1, "", 'Import "json" blocked by the sandbox'),
        ([], "import os, math; print(os.getcwd())", 0, "/work\n", ""),
    ],
)
def test_features_on_the_command_line(arguments, code, status, stdout, error):
    done = belljar("run", *arguments, "-c", code)
    assert (done.returncode, done.stdout) == (status, stdout), done.stderr
    assert error in done.stderr and (error or not done.stderr)


def test_what_is_granted_is_what_open_reads(tmp_path_factory):
    folder = tmp_path_factory.mktemp("granted")
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.getuid() and "pytest" in str(path):
            path.chmod(0o755)
    (folder / "text").write_text("inside")
    code = f"print(open('{folder}/text').read())\ntry:\n    open('/usr/lib/os-release')\nexcept PermissionError as error:\n    print(error.errno)"
    for granted in (folder, folder / "text"):
        assert belljar("run", "--feature", "stdout", "--read", granted, "-c", code, check=0).stdout == "inside\n13\n"


def test_an_unknown_feature_is_said_with_the_known_ones():
    done = belljar("run", "--feature", "sdout", "-c", "1")
    assert done.returncode == 125
    assert done.stderr.startswith(
        "belljar: language: unknown feature: sdout; known: asyncio, codecs, datetime, encodings, everyday, exit, "
    )
    with pytest.raises(StartError, match="unknown feature: sdout"):
        package.run("1", Policy(feature="sdout"))
    with pytest.raises(StartError, match="No module named 'nosuchmodule'"):
        package.run("1", Policy(allow_module="nosuchmodule:name"))


def test_a_module_is_not_run_by_its_name():
    done = belljar("run", "--feature", "stdout", "-m", "json.tool")
    assert done.returncode == 1 and "no -m" in done.stderr


def test_a_script_and_its_input(tmp_path):
    script = tmp_path / "job.py"
    script.write_text("print([int(line) for line in __import__('sys').stdin.read().split()], __name__)")
    assert belljar("run", "--feature", "stdin,stdout", script, stdin=b"1 2", check=0).stdout == "[1, 2] __main__\n"


def test_the_same_in_python_and_in_policy_files(tmp_path):
    policy = Policy(feature=["stdout"], allow_module="math:sqrt,pi", timeout=5)
    path = tmp_path / "policy.json"
    path.write_text(policy.to_json())
    assert Policy.from_file(path) == policy
    for each in (policy, Policy.from_file(path)):
        assert package.run("import math; print(math.sqrt(4))", each).stdout == "2.0\n"
        assert package.run("import math; math.sin", each).error.name == "AttributeError"
    assert belljar("run", "--policy", path, "-c", "import math; print(math.pi > 3)", check=0).stdout == "True\n"
    options = json.loads(policy.to_json())
    assert (options["feature"], options["allow_module"], options["language"]) == (["stdout"], ["math:sqrt,pi"], None)
    assert Policy().options["feature"] is None


def test_two_forms_of_one_policy_contradict_each_other():
    from belljar.config import SandboxConfig

    with pytest.raises(PolicyError, match="language exclude each other"):
        Policy(language=SandboxConfig().to_dict(), feature="stdout")
    with pytest.raises(PolicyError, match="exclude each other"):
        Policy(feature="stdout", language=SandboxConfig().to_dict())
    assert package.run("import os", Policy(feature="stdout", language=None)).error.name == "ImportError"


def test_both_forms_come_to_the_same():
    from belljar.config import SandboxConfig

    config = SandboxConfig("stdout", "regex", timeout=None)
    code = "import re\nprint(sorted(vars(__builtins__)) if 0 else sorted(__builtins__), dir(re))"
    short = package.run(code, Policy(feature=["stdout", "regex"]))
    assert short.verdict == "ok" and short.stdout == package.run(code, Policy(**config.to_policy()).replace(output="1M")).stdout
