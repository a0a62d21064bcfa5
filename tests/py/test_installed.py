"""What `meson install` puts somewhere is complete: a user's program needs its headers and pkg-config file, and nothing of
this tree."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

TREE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("BELLJAR_BUILD", TREE / "build"))
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pedantic"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    if not shutil.which("meson") or not (BUILD / "build.ninja").exists():
        pytest.skip("no build directory of meson's")
    root = tmp_path_factory.mktemp("installed")
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", root], check=True)
    return root


def one(root, name):
    found = [path for path in root.rglob(name) if not path.is_symlink()]
    assert len(found) == 1, (name, found)
    return found[0]


def flags(root, *wanted):
    """Of pkg-config, for what lies below root."""
    config = one(root, "belljar.pc")
    environ = {**os.environ, "PKG_CONFIG_PATH": str(config.parent), "PKG_CONFIG_SYSROOT_DIR": str(root)}
    return subprocess.run(
        ["pkg-config", *wanted, "belljar"], env=environ, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.split()


@pytest.mark.parametrize("compiler", [("cc", "-std=c11", "-xc"), ("c++", "-std=c++11", "-xc++")], ids=["C11", "C++11"])
def test_a_users_program_builds_from_the_installed_headers_alone_and_runs(installed, tmp_path, compiler):
    if not shutil.which(compiler[0]) or not shutil.which("pkg-config"):
        pytest.skip(f"no {compiler[0]} or no pkg-config")
    program = tmp_path / "program"
    shutil.copy(TREE / "tests/installed/program.c", tmp_path)
    include = one(installed, "belljar.h").parent
    subprocess.run([*compiler, *WARNINGS, f"-I{include}", "-o", program, "program.c", "-xnone", *flags(installed, "--libs")],
                   cwd=tmp_path, check=True)  # fmt: skip
    environ = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(one(installed, "libbelljar.so.*").parent),
               "BELLJAR_LIBEXEC": str(one(installed, "belljar-supervisor").parent)}  # fmt: skip
    subprocess.run([program], env=environ, check=True, timeout=200)


@pytest.mark.parametrize("header", ["belljar.h", "belljar_frames.h"])
@pytest.mark.parametrize("language", ["c", "c++"])
def test_each_header_stands_alone(installed, tmp_path, header, language):
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    (tmp_path / "program.c").write_text(f"#include <{header}>\nint main(void);\nint main(void) {{ return 0; }}\n")
    subprocess.run(["cc", f"-x{language}", *WARNINGS, f"-I{one(installed, header).parent}", "-fsyntax-only", "program.c"],
                   cwd=tmp_path, check=True)  # fmt: skip


def test_pages_and_completions_are_installed(installed):
    for name in ("belljar.1", "belljar-run.1", "belljar-completion.1", "belljar.bash", "_belljar", "belljar.fish"):
        assert "completion" in one(installed, name).read_text() or name == "belljar-run.1"


def test_the_headers_name_no_file_that_is_not_installed(installed):
    for header in ("belljar.h", "belljar_frames.h"):
        text = one(installed, header).read_text()
        for name in re.findall(r"#include [<\"]([^>\"]+)", text):
            assert name in ("poll.h", "stdbool.h", "stddef.h", "stdint.h", "belljar.h")


def test_the_pkg_config_file_names_where_the_header_and_the_library_are(installed):
    compile_flags, link_flags = flags(installed, "--cflags"), flags(installed, "--libs")
    include = one(installed, "belljar.h").parent
    # pkg-config leaves out folders that are searched anyway.
    assert f"-I{include}" in compile_flags or not compile_flags
    assert "-lbelljar" in link_flags
    assert flags(installed, "--modversion") == re.findall(
        r"^Version: (.*)$", one(installed, "belljar.pc").read_text(), re.MULTILINE
    )


def test_every_command_has_its_manual_page(installed):
    pages = {path.name.removesuffix(".1") for path in installed.rglob("belljar*.1")}
    listed = subprocess.run([BUILD / "belljar", "help"], check=True, stdout=subprocess.PIPE, text=True).stdout
    commands = {f"belljar-{name}" for name in re.findall(r"^  ([a-z]+)  ", listed, re.MULTILINE)} - {"belljar-help"}
    assert commands and pages == commands | {"belljar"}
    for path in installed.rglob("belljar*.1"):
        assert "@" not in path.read_text().replace("\\@", ""), path
