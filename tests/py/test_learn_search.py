"""The search of `belljar learn` by itself: runs are answered by a model of a script, so that each step can be seen."""

import pytest
from belljar.learn import NotFound, Search, Trial, is_within, plain

OPEN = {"read": [], "write": [], "timeout": 30.0, "cpu": 0, "memory": 512 << 20, "output": 1 << 20, "scratch": 1 << 20,
        "scratch_files": 100, "threads": 1, "descriptors": 64, "profile": "full", "jit": False, "language": None,
        "feature": None, "allow_module": None}  # fmt: skip


class Script:
    """Passes under a policy in which each of `needs` holds; else it fails as the first one says."""

    def __init__(self, *needs, wall_ms=10, peak_bytes=1 << 20):
        self.needs = needs
        self.usage = {"wall_ms": wall_ms, "peak_bytes": peak_bytes}
        self.tried = []

    def __call__(self, values):
        self.tried.append(values)
        for holds, failure in self.needs:
            if not holds(values):
                return Trial(**{"verdict": "error", "exit": 1, "error": "E", **self.usage, **failure})
        return Trial(**self.usage)


def make(script, said=None, **options):
    said = [] if said is None else said
    return Search(
        {key: list(value) if isinstance(value, list) else value for key, value in OPEN.items()}, script, said.append, **options
    )


def reads(path):
    return (lambda values: path in values["read"], {"refused": [("openat", path, "EACCES")]})


@pytest.fixture
def files(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text("")
    return [str(tmp_path / name) for name in ("a", "b", "c")]


def test_grants_are_added_until_the_script_passes(files):
    search = make(Script(reads(files[0]), reads(files[1])))
    search.widen()
    assert search.values["read"] == files[:2]


def test_what_is_not_needed_is_taken_away_again_and_what_the_user_gave_stays(files):
    everything = {"refused": [("openat", path, "EACCES") for path in files]}
    search = make(Script((lambda values: files[1] in values["read"], everything)))
    search.values["read"] = ["/given"]
    search.widen()
    assert search.values["read"] == ["/given", *files]
    search.narrow()
    assert search.values["read"] == ["/given", files[1]]


def test_nothing_new_ends_the_search():
    script = Script((lambda values: False, {"error": "ValueError: by itself"}))
    with pytest.raises(NotFound, match="no policy was found"):
        make(script).widen()
    assert len(script.tried) == 1


def test_the_search_ends_though_there_is_something_new_each_time():
    script = Script((lambda values: False, {"verdict": "timeout"}))
    with pytest.raises(NotFound):
        make(script).widen()
    assert len(script.tried) <= 8


@pytest.mark.parametrize(
    ("failure", "key", "value"),
    [
        ({"verdict": "timeout"}, "timeout", 120.0),
        ({"verdict": "memory"}, "memory", 1 << 30),
        ({"verdict": "output"}, "output", 8 << 20),
        ({"error": "RuntimeError: can't start new thread (rule: threads)"}, "threads", 4),
        ({"error": "OSError: [Errno 28] No space left on device"}, "scratch", 4 << 20),
        ({"error": "OSError: [Errno 24] Too many open files"}, "descriptors", 256),
        ({"verdict": "memory", "wants_jit": True}, "jit", True),
    ],
)
def test_a_limit_that_was_reached_is_raised_once_a_round(failure, key, value):
    search = make(Script((lambda values: values[key] == value, failure)))
    search.widen()
    assert search.values[key] == value
    assert key == "memory" or search.values["memory"] == OPEN["memory"]


def test_a_limit_that_is_none_or_at_its_end_is_not_raised():
    search = make(Script((lambda values: False, {"verdict": "timeout"})))
    for value in (0, None, 3600):
        search.values["timeout"] = value
        assert not search.learn(search.run(search.values)) and search.values["timeout"] == value
    search.values["timeout"] = 3599.0
    assert search.learn(search.run(search.values)) and search.values["timeout"] == 3600


def test_writing_is_granted_for_a_file_or_the_directory_of_a_name_and_only_if_the_user_says_so(files, tmp_path):
    for path, wanted in ((files[0], files[0]), (str(tmp_path / "new"), str(tmp_path))):
        said = []
        need = (lambda values, wanted=wanted: wanted in values["write"], {"refused": [("openat", path, "EACCES (write)")]})
        with pytest.raises(NotFound):
            make(Script(need), said).widen()
        assert any(f"--write {wanted}" in line for line in said)
        search = make(Script(need), grants_writes=True)
        search.widen()
        assert search.values["write"] == [wanted]


@pytest.mark.parametrize(
    "path", ["/usr", "/", "/proc/self/maps", "/dev/null", "/work/x", "/nowhere/at/all", "relative", "/etc/\0", "/etc/\udc80"]
)
def test_what_nobody_would_grant_unasked_is_not_granted(path):
    search = make(Script(), grants_writes=True)
    assert not search.learn(
        Trial("error", 1, path, refused=[("openat", path, "EACCES"), ("openat", path, "EACCES (write)")])
    ), search.values
    assert search.values["read"] == search.values["write"] == []


def test_a_grant_that_covers_a_path_is_not_repeated(files, tmp_path):
    search = make(Script())
    assert search.grant("read", str(tmp_path), "r") and not search.grant("read", files[0], "r")
    assert is_within("/a/b", "/a") and not is_within("/ab", "/a") and is_within("/a", "/a") and is_within("/a", "/")


def test_one_round_grants_no_more_than_its_share(tmp_path):
    paths = [tmp_path / f"f{i}" for i in range(80)]
    for path in paths:
        path.write_text("")
    search = make(Script())
    assert search.learn(Trial("error", 1, refused=[("openat", str(path), "EACCES") for path in paths]))
    assert len(search.values["read"]) == 50


def test_limits_are_lowered_to_a_multiple_of_what_was_used():
    search = make(Script(wall_ms=3000, peak_bytes=100 << 20))
    search.widen()
    search.narrow()
    assert (search.values["timeout"], search.values["memory"], search.values["profile"]) == (12.0, 208 << 20, "compute")


def test_a_limit_that_the_script_does_not_pass_under_is_kept():
    search = make(Script((lambda values: values["memory"] == 512 << 20 and values["profile"] == "full", {})))
    search.widen()
    search.narrow()
    assert (search.values["memory"], search.values["profile"], search.values["timeout"]) == (512 << 20, "full", 5.0)


def language(allowed):
    return lambda values: values["language"] is None or allowed(values["language"])


def test_a_language_policy_grows_by_what_was_blocked_and_shrinks_to_what_is_needed():
    search = make(Script(
        (language(lambda l: "stdout" in l["enable"]), {"error": "Block access to sys.stdout.write; to permit it: the feature stdout or everyday"}),
        (language(lambda l: "math" in l["enable"]), {"error": 'Import "math" blocked; to permit it: the feature math or everyday'}),
        (language(lambda l: "json:dumps,loads" in l["allow"]), {"error": 'SandboxError: Import "json" blocked'}),
    ))  # fmt: skip
    search.find_language({"json": ["dumps", "loads"]})
    assert search.values["feature"] == ["stdout", "math"] and search.values["allow_module"] == ["json:dumps,loads"]
    assert search.values["language"] is None


def test_a_symbol_that_the_text_does_not_have_is_added_to_its_module():
    search = make(Script(
        (language(lambda l: any(row.startswith("string:") for row in l["allow"])), {"error": 'Import "string" blocked'}),
        (language(lambda l: "string:digits" in l["allow"]), {"error": "AttributeError: SafeModule 'string' has no attribute 'digits'"}),
    ))  # fmt: skip
    search.find_language({})
    assert search.values["allow_module"] == ["string:digits"]


def test_things_that_have_to_be_the_real_ones_are_given_as_they_are():
    search = make(Script(
        (language(lambda l: l["allow"] or l["allow_safe"]), {"error": 'Import "queue" blocked'}),
        (language(lambda l: l["allow_safe"] == ["queue:Queue"]), {"error": "SandboxError: Read only object"}),
    ))  # fmt: skip
    search.find_language({"queue": ["Queue"]})
    assert (search.values["allow_module"], search.values["allow_safe_module"]) == ([], ["queue:Queue"])


@pytest.mark.parametrize(
    "failure", ["TypeError: object of type 'A' has no len()", "cannot create 'belljar.ReadOnlyObject' instances", "E"]
)
def test_whatever_a_program_says_of_views_they_are_taken_from_it(failure):
    search = make(Script(
        (language(lambda l: l["allow"] or l["allow_safe"]), {"error": 'Import "queue" blocked'}),
        (language(lambda l: l["allow_safe"]), {"error": failure}),
    ))  # fmt: skip
    search.find_language({"queue": ["Queue"]})
    assert search.values["allow_safe_module"] == ["queue:Queue"]


def test_the_recursion_limit_is_raised_by_steps():
    error = "RecursionError: maximum recursion depth exceeded; the limit of 50 frames is the policy's"
    search = make(Script((language(lambda l: l.get("recursion_limit", 0) >= 500), {"error": error})))
    search.find_language({})
    assert search.values["recursion_limit"] == 1000


def test_a_language_error_that_is_not_known_ends_the_search():
    with pytest.raises(NotFound, match="no language policy"):
        make(Script((language(lambda l: False), {"error": "AttributeError: __globals__"}))).find_language({})


def test_text_for_people_holds_nothing_that_a_terminal_obeys():
    assert plain("a\x1b[2J\x9b\u202e\n\udc80\U000e0041é\t語") == "a\\x1b[2J\\x9b\\u202e\\n\\udc80\\U000e0041é\t語"
