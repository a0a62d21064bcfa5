"""SandboxConfig and pysandbox's spellings of it: features, whitelists, limits, what is refused."""

from __future__ import annotations

import optparse
import pathlib

import pytest
from conftest import SandboxConfig, load_module

FEATURES = (
    "codecs datetime encodings exit future hashlib help itertools math random regex site stderr stdin stdout time "
    "traceback unicodedata"
).split()

pysandbox = load_module("belljar.pysandbox")


def test_the_features_are_pysandboxs_eighteen() -> None:
    assert SandboxConfig(*FEATURES).features == set(FEATURES)


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_can_be_enabled_alone(feature: str) -> None:
    config = SandboxConfig(feature)
    assert config.has_feature(feature)
    assert feature in config.to_dict()["features"]


def test_an_unknown_feature_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown feature: interpreter; known: asyncio, codecs, datetime.*unicodedata"):
        SandboxConfig("interpreter")


def test_an_unknown_option_lists_the_known_ones() -> None:
    with pytest.raises(TypeError, match=r"unknown option: timeuot; known: .*timeout"):
        SandboxConfig(timeuot=3)


def test_the_defaults_are_pysandboxs() -> None:
    config = SandboxConfig()
    limits = (config.timeout, config.max_memory, config.max_input_size, config.max_output_size, config.recursion_limit)
    assert limits == (5.0, 200 << 20, 64 << 10, 64 << 10, 50)
    assert config.features == set() and config.import_whitelist == {} and config.open_whitelist == set()


def test_some_features_enable_others() -> None:
    assert SandboxConfig("random").features == {"random", "math", "hashlib"}
    assert SandboxConfig("encodings").features == {"encodings", "codecs"}
    assert SandboxConfig("help").features == {"help", "regex"}


def test_whitelists_are_copies() -> None:
    config = SandboxConfig("math")
    config.import_whitelist.clear()
    config.builtins_whitelist.clear()
    config.features.clear()
    assert "math" in config.import_whitelist and "len" in config.builtins_whitelist and "math" in config.features


def test_symbols_add_up_over_calls() -> None:
    config = SandboxConfig()
    config.allow_module("sys", "version")
    config.allow_module("sys", "hexversion")
    config.allow_safe_module("sys", "version_info")
    assert config.import_whitelist["sys"] == (("hexversion", "version"), ("version_info",))


@pytest.mark.parametrize("name", ["os path", "os;sys", "", "a..b", "a/b"])
def test_names_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match="not a module's name"):
        SandboxConfig().allow_module(name)


def test_a_directorys_slash_is_kept(tmp_path: pathlib.Path) -> None:
    config = SandboxConfig()
    config.allow_path(f"{tmp_path}/")
    assert config.open_whitelist == {f"{tmp_path.resolve()}/"}


def test_builtins_can_be_added_and_taken() -> None:
    config = SandboxConfig()
    config.builtins_whitelist = config.builtins_whitelist | {"compile"}
    assert "compile" in config.to_dict()["builtins"]
    with pytest.raises(ValueError, match="unknown builtin"):
        config.builtins_whitelist = {"raw_input"}
    with pytest.raises(ValueError, match="never given"):
        config.builtins_whitelist = {"breakpoint"}


def test_there_is_no_in_process_mode() -> None:
    with pytest.raises(ValueError, match="there is no in-process mode"):
        SandboxConfig(use_subprocess=False)


def test_restricted_mode_names_its_successor() -> None:
    with pytest.raises(ValueError, match="write restricted=True"):
        SandboxConfig(cpython_restricted=True)


def test_restricted_goes_without_files_and_traceback() -> None:
    config = SandboxConfig(restricted=True)
    assert "open" not in config.builtins_whitelist
    with pytest.raises(ValueError, match="restricted"):
        config.allow_path("/tmp")
    with pytest.raises(ValueError, match="restricted"):
        config.enable("traceback")


def test_no_timeout_is_none() -> None:
    config = SandboxConfig()
    config.timeout = 0
    assert config.timeout is None
    with pytest.raises(ValueError, match="timeout"):
        config.timeout = -1


def test_old_spellings() -> None:
    config = pysandbox.SandboxConfig("stdout")
    config.allowModule("sys", "version")
    config.allowSafeModule("sys", "version_info")
    config.allowPath("/etc/issue")
    config.allowModuleSourceCode("sys")
    config.recusion_limit = 80
    config.max_memory = 100
    config._builtins_whitelist.add("compile")
    assert config.recursion_limit == 80
    assert config.max_memory == 100 << 20
    assert "compile" in config.builtins_whitelist
    assert config.import_whitelist["sys"] == (("stdout", "version"), ("version_info",))
    assert config.cpython_restricted is False and config.use_subprocess is True
    assert issubclass(pysandbox.Timeout, pysandbox.SandboxError)


def test_old_command_line_options() -> None:
    parser = optparse.OptionParser()
    pysandbox.SandboxConfig.createOptparseOptions(parser, default_timeout=3)
    options, _ = parser.parse_args(["--features", "stdout, math", "--allow-path", "/etc/issue"])
    config = pysandbox.SandboxConfig.fromOptparseOptions(options)
    assert config.features == {"stdout", "math"} and config.timeout == 3.0
    assert config.open_whitelist == {str(pathlib.Path("/etc/issue").resolve())}
    options, _ = parser.parse_args(["--disable-subprocess"])
    with pytest.raises(ValueError, match="in-process"):
        pysandbox.SandboxConfig.fromOptparseOptions(options)
