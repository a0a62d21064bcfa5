"""Files as a program in the jar sees them: the tree, its grants, its scratch, links, relative paths, and how refusals read."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile

import belljar
import looking
import pytest

core = pytest.mark.core


@pytest.fixture(scope="module")
def place():
    """Granted: data (read), file (read), write (write). Not granted: secret. All may be read by everybody."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="belljar-probe-"))
    top.chmod(0o755)
    for name in ("data", "data/sub", "write", "secret"):
        (top / name).mkdir()
        (top / name).chmod(0o777 if name == "write" else 0o755)
    (top / "data" / "table.csv").write_text("a,b\n1,2\n")
    (top / "data" / "sub" / "deep.txt").write_text("deep")
    (top / "data" / "inside").symlink_to("sub/deep.txt")
    (top / "data" / "absolute").symlink_to(top / "data" / "table.csv")
    (top / "data" / "outside").symlink_to(top / "secret" / "file")
    (top / "data" / "up").symlink_to("../secret/file")
    (top / "file").write_text("single")
    (top / "beside").write_text("not granted")
    (top / "secret" / "file").write_text("belljar secret")
    (top / "write" / "there").write_text("before")
    (top / "write" / "there").chmod(0o666)
    os.mkfifo(top / "data" / "fifo")
    yield top
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture(scope="module")
def template(place):
    policy = belljar.Policy(
        read=[str(place / "data"), str(place / "file")], write=[str(place / "write")], scratch="8M", scratch_files=200
    )
    with belljar.Template(policy, parked=2) as made:
        yield made


@pytest.fixture
def run(template, place):
    def run_code(code, **more):
        execution = template.run(f"import os, errno\nTOP = {str(place)!r}\n" + code, **more)
        assert execution.verdict == "ok", (execution, execution.error)
        return execution

    return run_code


def attempt(*lines):
    """Code that prints the errno's name of each line that fails, and "done" for the others."""
    return "".join(f"try:\n    {line}\n    print('done')\nexcept OSError as e: print(errno.errorcode[e.errno])\n" for line in lines)


# ---- What can be read --------------------------------------------------------------------------------------------

READ = [
    ("a granted file", "print(open(TOP + '/file').read())", "single"),
    ("a file in a granted directory", "print(open(TOP + '/data/table.csv').read().split())", "['a,b', '1,2']"),
    ("deeper", "print(open(TOP + '/data/sub/deep.txt').read())", "deep"),
    ("a listing", "print(sorted(os.listdir(TOP + '/data')))", "['absolute', 'fifo', 'inside', 'outside', 'sub', 'table.csv', 'up']"),
    ("a walk", "print(sum(len(f) for _, _, f in os.walk(TOP + '/data')))", "7"),
    ("scandir and its types", "print(sorted((e.name, e.is_dir(), e.is_symlink()) for e in os.scandir(TOP + '/data'))[4])", "('sub', True, False)"),
    ("glob", "import glob; print([p.rsplit('/', 1)[1] for p in glob.glob(TOP + '/data/*.csv')])", "['table.csv']"),
    ("a relative link that stays inside", "print(open(TOP + '/data/inside').read())", "deep"),
    ("an absolute link that stays inside", "print(len(open(TOP + '/data/absolute').read()))", "8"),
    ("readlink", "print(os.readlink(TOP + '/data/inside'))", "sub/deep.txt"),
    ("lstat of a link", "import stat; print(stat.S_ISLNK(os.lstat(TOP + '/data/outside').st_mode))", "True"),
    ("stat", "s = os.stat(TOP + '/data/table.csv'); print(s.st_size, oct(s.st_mode))", "8 0o100644"),
    ("fstat agrees with stat", "f = open(TOP + '/file'); a, b = os.fstat(f.fileno()), os.stat(TOP + '/file'); print(a.st_ino == b.st_ino, a.st_size)", "True 6"),
    ("access", "print(os.access(TOP + '/file', os.R_OK), os.access(TOP + '/file', os.W_OK), os.access('/none', os.F_OK))", "True False False"),
    ("exists", "print(os.path.exists(TOP + '/file'), os.path.exists(TOP + '/beside'), os.path.isdir(TOP + '/data'))", "True False True"),
    (".. inside", "print(open(TOP + '/data/sub/../table.csv').read(3))", "a,b"),
    (".. of / is /", "print(os.path.exists('/../../../tmp'))", "True"),
    ("// and /./", "print(open('/' + TOP + '//data/./table.csv').read(3))", "a,b"),
    ("chdir and relative paths", "os.chdir(TOP + '/data'); print(open('table.csv').read(3), os.getcwd() == TOP + '/data', open('sub/deep.txt').read())", "a,b True deep"),
    ("fchdir", "d = os.open(TOP + '/data/sub', os.O_RDONLY); os.fchdir(d); print(os.listdir('.'), open('../table.csv').read(3))", "['deep.txt'] a,b"),
    ("openat", "d = os.open(TOP + '/data', os.O_RDONLY); f = os.open('table.csv', os.O_RDONLY, dir_fd=d); print(os.read(f, 3))", "b'a,b'"),
    ("stat by a directory's descriptor", "d = os.open(TOP + '/data', os.O_RDONLY); print(os.stat('sub/deep.txt', dir_fd=d).st_size)", "4"),
    ("listdir of a descriptor", "d = os.open(TOP + '/data/sub', os.O_RDONLY); print(os.listdir(d))", "['deep.txt']"),
    ("mmap of a granted file", "import mmap; f = open(TOP + '/data/table.csv', 'rb'); print(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[:3])", "b'a,b'"),
    ("bytes as a path", "print(open(os.fsencode(TOP) + b'/file').read())", "single"),
    ("pathlib", "import pathlib; print((pathlib.Path(TOP) / 'data' / 'sub').joinpath('deep.txt').read_text())", "deep"),
    ("realpath", "print(os.path.realpath(TOP + '/data/inside') == TOP + '/data/sub/deep.txt')", "True"),
    ("the standard library's own files", "import json.decoder; print(open(json.decoder.__file__).read(3))", '"""'),
    ("the way down to a grant", "print(sorted(os.listdir(TOP)))", "['data', 'file', 'write']"),
]  # fmt: skip


@core
@pytest.mark.parametrize(("name", "code", "said"), READ, ids=[row[0] for row in READ])
def test_what_was_granted_can_be_read(name, code, said, run):
    execution = run(code)
    assert execution.stdout == said + "\n"
    assert not [v for v in execution.violations if v.rule == "read" and "beside" not in v.target]


REFUSED = [
    ("beside a granted file", "open(TOP + '/beside')", "EACCES"),
    ("a directory that was not granted", "os.listdir(TOP + '/secret')", "EACCES"),
    ("a link that leads out", "open(TOP + '/data/outside')", "EACCES"),
    ("a relative link that leads out", "open(TOP + '/data/up')", "EACCES"),
    ("stat through a link that leads out", "os.stat(TOP + '/data/outside')", "EACCES"),
    ("chdir to what was not granted", "os.chdir(TOP + '/secret')", "EACCES"),
    ("the host's files", "open('/etc/shadow')", "EACCES"),
    ("a granted file is no directory", "open(TOP + '/file/x')", "ENOTDIR"),
    ("a file that does not exist in a grant", "open(TOP + '/data/none')", "ENOENT"),
    ("a fifo in a grant", "os.open(TOP + '/data/fifo', os.O_RDONLY | os.O_NONBLOCK)", "EACCES"),
    ("a directory is not opened for writing", "open(TOP + '/data', 'r+')", "EACCES"),
    ("an unknown descriptor", "os.stat('x', dir_fd=99)", "EBADF"),
    ("a descriptor that is a file", "os.open('x', os.O_RDONLY, dir_fd=os.open(TOP + '/file', os.O_RDONLY))", "ENOTDIR"),
    ("a working directory that is a file", "os.fchdir(os.open(TOP + '/file', os.O_RDONLY))", "ENOTDIR"),
    ("NOFOLLOW on a link", "os.open(TOP + '/data/inside', os.O_RDONLY | os.O_NOFOLLOW)", "ELOOP"),
    ("O_DIRECTORY on a file", "os.open(TOP + '/file', os.O_RDONLY | os.O_DIRECTORY)", "ENOTDIR"),
    ("readlink of a file", "os.readlink(TOP + '/file')", "EINVAL"),
]  # fmt: skip


@core
@pytest.mark.parametrize(("name", "code", "error"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_was_not_granted_cannot_be_read(name, code, error, run):
    allowed = {"EACCES": ("EACCES", "EPERM", "ENOENT")}.get(error, (error,))
    assert run(attempt(code)).stdout.strip() in allowed


@core
def test_a_refusal_is_visible_twice(run, place):
    execution = run("try: open(TOP + '/secret/file')\nexcept PermissionError as e: print(e, '|', e.filename)")
    assert str(place / "secret" / "file") in execution.stdout
    (violation,) = execution.violations
    assert (violation.op, violation.target) in [(op, str(place / "secret" / "file")) for op in ("open", "openat")]
    assert violation.rule == "read"
    assert "read" in violation.hint


@pytest.fixture
def namesakes():
    """Directories of one name in the places where a guest has its scratch as well: what each is called is in its file."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(tempfile.TemporaryDirectory(prefix="belljar-probe-"))
        made = [first]
        for place in ("/tmp", "/var/tmp", "/dev/shm"):
            path = f"{place}/{os.path.basename(first)}"
            if path != first and os.access(place, os.W_OK):
                os.mkdir(path)
                stack.callback(shutil.rmtree, path)
                made.append(path)
        for path in made:
            os.chmod(path, 0o777)
            pathlib.Path(path, "name").write_text(path)
        yield made


@core
def test_grants_in_places_where_scratch_is_are_seen_under_their_own_paths(namesakes):
    code = f"import os\nfor path in {namesakes!r}: print(open(path + '/name').read() == path == os.path.realpath(path))"
    execution = belljar.run(code, belljar.Policy(read=namesakes))
    assert execution.stdout == "True\n" * len(namesakes), execution


@core
@pytest.mark.parametrize("backwards", [False, True])
def test_a_write_grant_does_not_reach_a_namesake_that_is_granted_for_reading(namesakes, backwards):
    write, *read = namesakes[::-1] if backwards else namesakes
    code = attempt(f"open({write!r} + '/new', 'w')", *(f"open({path!r} + '/new', 'w')" for path in read))
    execution = belljar.run("import errno, os\n" + code, belljar.Policy(read=read, write=[write]))
    assert execution.stdout.split() == ["done"] + ["EACCES"] * len(read), execution
    assert not [path for path in read if os.path.exists(path + "/new")]


# ---- Read-only is read-only ----------------------------------------------------------------------------------------

CHANGES = [
    "open(TOP + '/data/table.csv', 'w')", "open(TOP + '/data/table.csv', 'a')", "open(TOP + '/data/table.csv', 'r+')",
    "open(TOP + '/data/new', 'x')", "os.mkdir(TOP + '/data/new')", "os.mknod(TOP + '/data/new')", "os.rmdir(TOP + '/data/sub')", "os.unlink(TOP + '/data/table.csv')",
    "os.rename(TOP + '/data/table.csv', '/work/mine')", "os.rename(TOP + '/data/table.csv', TOP + '/data/other')",
    "os.symlink('x', TOP + '/data/new')", "os.link(TOP + '/data/table.csv', '/work/hard')", "os.truncate(TOP + '/data/table.csv', 1)",
    "os.chmod(TOP + '/data/table.csv', 0o777)", "os.utime(TOP + '/data/table.csv')", "os.utime(os.open(TOP + '/data/table.csv', os.O_RDONLY))",
    "os.fchmod(os.open(TOP + '/data/table.csv', os.O_RDONLY), 0o777)", "os.ftruncate(os.open(TOP + '/data/table.csv', os.O_RDONLY), 0)",
    "os.chown(TOP + '/data/table.csv', 0, 0)", "os.open(TOP + '/data', os.O_TMPFILE | os.O_RDWR)", "os.mkfifo(TOP + '/data/fifo2')",
    "os.rename('/work', '/elsewhere')", "os.mkdir('/made')", "os.rmdir('/tmp')", "os.unlink('/etc/passwd')", "open('/etc/passwd', 'w')",
    "os.symlink('x', '/usr/bin/x')", "open('/dev/zero', 'w')",
]  # fmt: skip


@core
@pytest.mark.parametrize("code", CHANGES)
def test_a_reading_grant_cannot_be_changed(code, run, place):
    before = (place / "data" / "table.csv").stat()
    assert run(attempt(code)).stdout.strip() in (
        "EACCES",
        "EACCES",
        "EPERM",
        "EINVAL",
        "EBADF",
        "EXDEV",
        "EBUSY",
        "EOPNOTSUPP",
        "ENOTSUP",
        "EEXIST",
    )
    after = (place / "data" / "table.csv").stat()
    assert before[:9] == after[:9] and before.st_mtime_ns == after.st_mtime_ns
    assert sorted(os.listdir(place / "data")) == ["absolute", "fifo", "inside", "outside", "sub", "table.csv", "up"]


@core
def test_truncating_while_reading_changes_nothing(run, place):
    run("try: os.open(TOP + '/data/table.csv', os.O_RDONLY | os.O_TRUNC)\nexcept OSError: pass")
    assert (place / "data" / "table.csv").read_text() == "a,b\n1,2\n"


# ---- A writing grant -----------------------------------------------------------------------------------------------


@core
def test_a_writing_grant_can_be_changed(run, place):
    run(
        """
open(TOP + '/write/new', 'w').write('made inside')
open(TOP + '/write/there', 'a').write(' and after')
os.mkdir(TOP + '/write/dir'); open(TOP + '/write/dir/x', 'w').close(); os.rename(TOP + '/write/dir/x', TOP + '/write/moved')
os.rmdir(TOP + '/write/dir')
"""
    )
    assert (place / "write" / "new").read_text() == "made inside"
    assert (place / "write" / "there").read_text() == "before and after"
    assert sorted(os.listdir(place / "write")) == ["moved", "new", "there"]
    assert (place / "write" / "new").stat().st_mode & 0o7133 == 0o0, "no set-user-id, not executable, not writable for others"


@core
def test_a_file_in_a_writing_grant_becomes_nobodys_program(run, place):
    """Whoever runs it would be the user of the grant. Bits of a folder make nobody another."""
    code = "open(TOP + '/write/bits', 'w').close(); os.mkdir(TOP + '/write/bits.d')\n"
    code += attempt(*(f"os.chmod(TOP + '/write/bits', 0o{bits})" for bits in ("4755", "2755", "6711", "1755")))
    code += attempt(
        "os.fchmod(os.open(TOP + '/write/bits', os.O_RDWR), 0o4755)", "os.open(TOP + '/write/bits2', os.O_CREAT, 0o4755)"
    )
    code += attempt("os.chmod(TOP + '/write/bits.d', 0o3777)", "os.chmod(TOP + '/write/bits', 0o755)")
    execution = run(code)
    try:
        assert execution.stdout.split() == ["EPERM"] * 3 + ["done", "EPERM", "done", "done", "done"]
        assert {v.hint.split(":")[0] for v in execution.violations} == {"leave out the set-user and set-group bits"}
        modes = {path.name: path.stat().st_mode & 0o7777 for path in (place / "write").iterdir()}
        assert (modes["bits"], modes["bits2"] & 0o7133, modes["bits.d"]) == (0o755, 0, 0o3777)
    finally:
        for path in (place / "write").glob("bits*"):
            path.rmdir() if path.is_dir() else path.unlink()


@core
def test_a_device_of_the_hosts_stays_as_it_is(run):
    """touch() says that it is now, which changes nothing; what its owner alone may say is refused."""
    times = "import pathlib, time\nnull = os.open('/dev/null', os.O_RDWR); folder = os.open('/dev', os.O_RDONLY)\n"
    times += attempt("os.utime('/dev/null')", "os.utime(null)", "os.utime('null', dir_fd=folder)", "pathlib.Path('/dev/null').touch()",
                     "os.utime('/dev/full', None)", "os.utime('/dev/null', (1, 1))", "os.utime(null, ns=(1, 1))")  # fmt: skip
    times += attempt(
        "os.chmod('/dev/null', 0o666)", "os.fchmod(null, 0)", "os.chown('/dev/null', -1, -1)", "os.chown('/dev/null', 0, 0)"
    )
    before = os.stat("/dev/null"), os.stat("/dev/full")
    assert run(times).stdout.split() == ["done"] * 5 + ["EPERM"] * 4 + ["done", "EPERM"]
    for old, new in zip(before, (os.stat("/dev/null"), os.stat("/dev/full")), strict=True):
        assert old == new and (old.st_mtime_ns, old.st_ctime_ns) == (new.st_mtime_ns, new.st_ctime_ns)


@core
def test_a_link_that_is_followed_gives_no_second_name_to_a_grant(run, place):
    code = "h = os.open('/work', os.O_RDONLY)\n" + attempt(
        *(f"os.symlink(TOP + '/{name}', '/tmp/{i}'); os.link('/tmp/{i}', 'hard{i}', dst_dir_fd=h, follow_symlinks=True)"
          for i, name in enumerate(("data/table.csv", "secret/file", "write/there"))))  # fmt: skip
    assert run(code + "\nprint(os.listdir('/work'))").stdout.split() == ["EACCES", "EACCES", "EXDEV", "[]"]
    assert (place / "data" / "table.csv").stat().st_nlink == 1


@core
def test_a_writing_grant_leads_nowhere_else(run, place):
    code = attempt("open(TOP + '/write/../beside')", "open(TOP + '/write/../secret/file')", "os.rename(TOP + '/write/there', TOP + '/there')",
                   "os.symlink(TOP + '/secret/file', TOP + '/write/link'); open(TOP + '/write/link')",
                   "os.link(TOP + '/data/table.csv', TOP + '/write/hard'); open(TOP + '/write/hard', 'a')",
                   "os.mkfifo(TOP + '/write/fifo')")  # fmt: skip
    assert "done" not in run(code).stdout
    assert (place / "data" / "table.csv").stat().st_nlink == 1


# ---- Scratch -------------------------------------------------------------------------------------------------------

ROOM = """
def room(flags):
    with open('f', 'wb') as file: file.write(b'kept')
    f = os.open('f', flags)
    os.posix_fallocate(f, 7, 9000)
    size, blocks = os.fstat(f).st_size, os.fstat(f).st_blocks
    if flags & os.O_APPEND: os.write(f, b'more')
    else: os.pwrite(f, b'more', size)
    data = open('f', 'rb').read()
    os.posix_fallocate(f, 0, 5000)  # there already
    return size, len(data.strip(b'kept').strip(b'more')) + 4 if blocks * 512 >= size else 0, data[:4], data[-4:]
def fails(*given):
    try: return os.posix_fallocate(*given)
    except OSError as e: return errno.errorcode[e.errno]
"""
OWNED = """
def given(go, bits, name='f'):
    os.chmod(name, bits)
    go(name)
    return oct(os.stat(name).st_mode & 0o7777)
def by_number(name):
    number = os.open(name, os.O_RDONLY)
    os.fchown(number, os.getuid(), -1)
    os.close(number)
open('f', 'w').close()
os.mkdir('d')
WAYS = [lambda n: os.chown(n, os.getuid(), os.getgid()), lambda n: os.chown(n, -1, -1), lambda n: os.lchown(n, os.getuid(), -1),
        lambda n: os.chown(n, -1, os.getgid(), dir_fd=os.open('.', 0)), by_number]
"""
# In each of four ways: by path, beside a folder's descriptor, by its own in two.
BITS = """
def made(name, make=lambda n: open(n, 'w').close()): make(name); return name
def change(name, bits):
    folder, said = os.open('.', os.O_RDONLY), []
    for way in (lambda: os.chmod(name, bits), lambda: os.chmod(name, bits, dir_fd=folder),
                lambda: os.chmod(os.open(name, os.O_RDONLY), bits), lambda: os.fchmod(os.open(name, os.O_RDONLY), bits)):
        os.chmod(name, 0o700); way(); said.append(os.stat(name).st_mode & 0o7777 == bits)
    return all(said)
"""
SCRATCH = [
    ("it starts in /work", "print(os.getcwd())", "/work"),
    ("all its places can be written", "for p in ('/work', '/tmp', os.environ['HOME'], '/var/tmp', '/dev/shm'): open(p + '/f', 'w').write('x')\nprint('fine')", "fine"),
    ("each is what it is called", "print([os.path.realpath(p) for p in ('/tmp', '/var/tmp', '/dev/shm')], sorted(os.listdir('/dev'))[-3:], os.listdir('/var'))",
     "['/tmp', '/var/tmp', '/dev/shm'] ['shm', 'urandom', 'zero'] ['tmp']"),
    ("it is empty at first", "print([os.listdir(p) for p in ('/work', '/tmp', os.environ['HOME'], '/var/tmp', '/dev/shm')])", "[[], [], [], [], []]"),
    ("write, read, append", "open('f', 'w').write('a'); open('f', 'a').write('b'); print(open('f').read())", "ab"),
    ("exclusive creation", "open('f', 'x').close()\ntry: open('f', 'x')\nexcept FileExistsError: print('exists')", "exists"),
    ("directories", "os.makedirs('a/b/c'); print(os.listdir('a'), os.path.isdir('a/b/c'))", "['b'] True"),
    ("a directory that is not empty", "os.makedirs('a/b')\ntry: os.rmdir('a')\nexcept OSError as e: print(errno.errorcode[e.errno])", "ENOTEMPTY"),
    ("rename", "open('f', 'w').write('x'); os.rename('f', 'g'); print(os.listdir('.'))", "['g']"),
    ("rename between its places", "open('f', 'w').write('x'); os.rename('f', '/tmp/g'); print(open('/tmp/g').read())", "x"),
    ("replace", "open('f', 'w').write('new'); open('g', 'w').write('old'); os.replace('f', 'g'); print(open('g').read(), os.listdir('.'))", "new ['g']"),
    ("unlink while it is open", "f = open('f', 'w+'); os.unlink('f'); f.write('kept'); f.seek(0); print(f.read(), os.listdir('.'))", "kept []"),
    ("a symbolic link", "open('f', 'w').write('x'); os.symlink('f', 'l'); print(open('l').read(), os.readlink('l'), os.path.islink('l'))", "x f True"),
    ("a link to a directory", "os.mkdir('d'); os.symlink('d', 'l'); open('l/f', 'w').write('x'); print(os.listdir('d'))", "['f']"),
    ("a link that hangs", "os.symlink('none', 'l'); print(os.path.exists('l'), os.path.lexists('l'))", "False True"),
    ("a link to a grant", "os.symlink(TOP + '/data', 'd'); print(open('d/table.csv').read(3))", "a,b"),
    ("a hard link", "open('f', 'w').write('x'); os.link('f', 'g'); print(os.stat('f').st_nlink, open('g').read())", "2 x"),
    ("a hard link to what a link leads to", "os.mkdir('d'); open('d/f', 'w').write('x'); os.symlink('d/f', 'l'); os.symlink('l', 'm'); os.symlink('none', 'n')\nh = os.open('.', os.O_RDONLY)\ndef link(name, follow, to):\n  try: os.link(name, to, src_dir_fd=h, dst_dir_fd=h, follow_symlinks=follow); print(os.path.islink(to), os.lstat(to).st_nlink)\n  except OSError as e: print(errno.errorcode[e.errno])\nlink('m', True, 'g'); link('m', False, 'g2'); link('n', True, 'g3'); link('d', True, 'g4')", "False 2\nTrue 2\nENOENT\nEPERM"),
    ("chmod", "open('f', 'w').close(); os.chmod('f', 0o600); print(oct(os.stat('f').st_mode))", "0o100600"),
    ("a file by mknod", "os.mknod('f'); os.umask(0); os.mknod('g', 0o104640); d = os.open('.', os.O_RDONLY); os.mknod('h', 0o600, dir_fd=d); open('f', 'w').write('x'); print([oct(os.stat(n).st_mode) for n in 'fgh'], len(os.listdir('.')))\ntry: os.mknod('f')\nexcept FileExistsError: print('there')", "['0o100600', '0o104640', '0o100600'] 3\nthere"),
    ("modes with all their bits", BITS + "f = made('f'); d = made('d', os.mkdir); print([change(n, bits) for n in (f, d) for bits in (0o4755, 0o2711, 0o1777, 0o7755, 0o644)])", "[True, True, True, True, True, True, True, True, True, True]"),
    ("modes as it is made", "os.umask(0); os.mkdir('d', 0o1777); os.close(os.open('f', os.O_CREAT, 0o4711)); print(oct(os.stat('d').st_mode), oct(os.stat('f').st_mode))", "0o41777 0o104711"),
    ("modes that are copied", "import shutil\nopen('f', 'w').close(); os.chmod('f', 0o6755); shutil.copy2('f', 'g'); os.mkdir('d'); os.chmod('d', 0o3775); shutil.copytree('d', 'e'); print(oct(os.stat('g').st_mode), oct(os.stat('e').st_mode))", "0o106755 0o43775"),
    ("bits that go with an owner", OWNED + "print([given(go, bits) for go in WAYS for bits in (0o6755, 0o4644, 0o2644, 0o1750)] == ['0o755', '0o644', '0o2644', '0o1750'] * len(WAYS), [given(go, 0o7755, 'd') for go in WAYS])", "True ['0o7755', '0o7755', '0o7755', '0o7755', '0o7755']"),
    ("modes out of an archive", "import tarfile, io\nwith tarfile.open('t', 'w') as t:\n  m = tarfile.TarInfo('s'); m.mode = 0o4755; t.addfile(m); m = tarfile.TarInfo('d'); m.mode = 0o1777; m.type = tarfile.DIRTYPE; t.addfile(m)\nt = tarfile.open('t'); t.errorlevel = 2; t.extractall('x', **({'filter': 'fully_trusted'} if hasattr(tarfile, 'data_filter') else {})); print(oct(os.stat('x/s').st_mode), oct(os.stat('x/d').st_mode))", "0o104755 0o41777"),
    ("room for a file, however it is open", ROOM + "print([room(flags) for flags in (os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_APPEND, os.O_WRONLY | os.O_APPEND)])", "[(9007, 9007, b'kept', b'more'), (9007, 9007, b'kept', b'more'), (9007, 9007, b'kept', b'more'), (9007, 9007, b'kept', b'more')]"),
    ("room in holes", "f = open('f', 'w+b', 0); f.write(b'kept'); f.truncate(20000); before = os.stat('f').st_blocks; f.seek(9); os.posix_fallocate(f.fileno(), 5000, 9000); print(os.stat('f').st_blocks - before, os.stat('f').st_size, f.tell(), open('f', 'rb').read() == b'kept' + bytes(19996)); os.posix_fallocate(f.fileno(), 0, 20000); print(os.stat('f').st_blocks)", "24 20000 9 True\n40"),
    ("room for a file without a name", "f = os.open('f', os.O_CREAT | os.O_RDWR | os.O_APPEND); os.remove('f'); os.write(f, b'x'); os.posix_fallocate(f, 0, 5000); os.write(f, b'y'); print(os.pread(f, 9999, 0) == b'x' + bytes(4999) + b'y')", "True"),
    ("room that cannot be", ROOM + "r, w = os.pipe(); f = os.open('f', os.O_CREAT | os.O_RDWR); print(*[fails(*given) for given in ((f, -1, 5), (f, 0, 0), (f, 2 ** 63 - 2, 5), (os.open('f', 0), 0, 5), (os.open('.', 0), 0, 5), (w, 0, 5), (99, 0, 5))])", "EINVAL EINVAL EFBIG EBADF EBADF ESPIPE EBADF"),
    ("room that there is not", ROOM + "f = os.open('f', os.O_CREAT | os.O_WRONLY | os.O_APPEND); os.write(f, b'kept'); print(fails(f, 0, 30 << 20), os.stat('f').st_size)", "EFBIG 4"),
    ("umask", "os.umask(0o077); open('f', 'w').close(); print(oct(os.stat('f').st_mode))", "0o100600"),
    ("times", "open('f', 'w').close(); os.utime('f', (1, 2)); s = os.stat('f'); print(s.st_atime, s.st_mtime)", "1.0 2.0"),
    ("truncate", "open('f', 'w').write('abcdef'); os.truncate('f', 3); print(open('f').read())", "abc"),
    ("seek and sparse", "f = open('f', 'wb'); f.seek(100000); f.write(b'x'); f.close(); print(os.stat('f').st_size)", "100001"),
    ("a temporary file", "import tempfile\nwith tempfile.TemporaryFile() as f: f.write(b'abc'); f.seek(0); print(f.read())", "b'abc'"),
    ("a named temporary file", "import tempfile\nwith tempfile.NamedTemporaryFile('w') as f: print(f.name.startswith('/tmp/'), os.path.exists(f.name))", "True True"),
    ("a temporary directory", "import tempfile\nwith tempfile.TemporaryDirectory() as d: open(d + '/f', 'w').close()\nprint(os.path.exists(d))", "False"),
    ("shutil", "import shutil\nos.mkdir('d'); open('d/f', 'w').write('x'); shutil.copytree('d', 'e'); shutil.move('e/f', 'g'); shutil.rmtree('d'); print(sorted(os.listdir('.')))", "['e', 'g']"),
    ("a copy from a grant", "import shutil; shutil.copy2(TOP + '/data/table.csv', 'mine'); open('mine', 'a').write('3,4'); print(len(open('mine').read()))", "11"),
    ("zip", "import zipfile\nwith zipfile.ZipFile('z', 'w') as z: z.writestr('a', 'b')\nprint(zipfile.ZipFile('z').read('a'))", "b'b'"),
    ("sqlite", "import sqlite3\nc = sqlite3.connect('db'); c.execute('create table t (x)'); c.execute('insert into t values (7)'); c.commit(); print(sqlite3.connect('db').execute('select x from t').fetchall())", "[(7,)]"),
    ("dbm and shelve", "import shelve\nwith shelve.open('s') as s: s['a'] = [1]\nwith shelve.open('s') as s: print(s['a'])", "[1]"),
    ("mmap, shared", "import mmap\nf = open('f', 'w+b'); f.truncate(4096); m = mmap.mmap(f.fileno(), 4096); m[:2] = b'hi'; m.flush(); print(open('f', 'rb').read(2))", "b'hi'"),
    ("a module of its own", "open('mine.py', 'w').write('x = 7'); import mine; print(mine.x)", "7"),
    ("import caches", "import sys; open('m.py', 'w').write('x = 8'); import m; print(m.x)", "8"),
    ("non-ASCII and odd names", "for n in ('gr\\xfcn', 'a b', '\\n', '\\U0001f600', '-x'): open(n, 'w').close()\nprint(len(os.listdir('.')))", "5"),
    ("names that are no UTF-8", "open(b'\\xff\\xfe', 'w').close(); print(os.listdir(b'.'))", "[b'\\xff\\xfe']"),
    ("a file's position survives dup", "f = os.open('f', os.O_CREAT | os.O_RDWR); os.write(f, b'abc'); g = os.dup(f); os.lseek(g, 0, 0); print(os.read(f, 3))", "b'abc'"),
    ("redirection of stdout", "f = os.open('f', os.O_CREAT | os.O_WRONLY); saved = os.dup(1); os.dup2(f, 1); os.write(1, b'there'); os.dup2(saved, 1); print(open('f').read())", "there"),
    ("free space is the quota", "import shutil; u = shutil.disk_usage('/work'); print(u.total <= 8 << 20, u.free > 0)", "True True"),
    ("a removed working directory", "os.mkdir('d'); os.chdir('d'); os.rmdir('/work/d')\ntry: open('f', 'w')\nexcept FileNotFoundError: print('gone')", "gone"),
    ("locks are taken for granted", "import fcntl; f = open('f', 'w'); fcntl.flock(f, fcntl.LOCK_EX); fcntl.lockf(f, fcntl.LOCK_EX); print('fine')", "fine"),
    ("fsync", "f = open('f', 'w'); f.write('x'); f.flush(); os.fsync(f.fileno()); print('fine')", "fine"),
    ("it owns what it makes", "open('f', 'w').close(); s = os.stat('f'); print(s.st_uid == os.getuid(), s.st_gid == os.getgid())", "True True"),
]  # fmt: skip


@core
@pytest.mark.parametrize(("name", "code", "said"), SCRATCH, ids=[row[0] for row in SCRATCH])
def test_scratch_is_as_any_directory(name, code, said, run):
    execution = run(code)
    assert execution.stdout == said + "\n"
    assert execution.violations == []


@core
def test_scratch_is_private_and_gone_afterwards(template):
    assert template.run("open('/tmp/f', 'w').write('x'); open('g', 'w').close()").verdict == "ok"
    assert template.run("import os; os.listdir('/tmp') + os.listdir('/work')").text == "[]"
    with template.sandbox() as one, template.sandbox() as other:
        one.run_code("open('/tmp/f', 'w').write('x')")
        assert other.run_code("import os; os.listdir('/tmp')").text == "[]"
        assert one.run_code("open('/tmp/f').read()").text == "'x'"


# ---- Synthetic files ------------------------------------------------------------------------------------------------

SYNTHETIC = [
    ("/etc/passwd", "import pwd; print(pwd.getpwuid(os.getuid()).pw_name, os.path.expanduser('~'), len(pwd.getpwall()))", "user /home/user 2"),
    ("/etc/group", "import grp; print(grp.getgrgid(os.getgid()).gr_name)", "user"),
    ("getuser", "import getpass; print(getpass.getuser())", "user"),
    ("/dev/null", "open('/dev/null', 'w').write('x'); print(repr(open('/dev/null').read()))", "''"),
    ("/dev/zero", "print(open('/dev/zero', 'rb').read(3))", "b'\\x00\\x00\\x00'"),
    ("/dev/urandom", "print(len(set(open('/dev/urandom', 'rb').read(1000))) > 100)", "True"),
    ("/dev/full", "try:\n  f = open('/dev/full', 'w'); f.write('x'); f.flush()\nexcept OSError as e: print(errno.errorcode[e.errno])", "ENOSPC"),
    ("one CPU", "print(os.cpu_count(), len(os.sched_getaffinity(0)))", "1 1"),
    ("/proc/meminfo", "print(int(open('/proc/meminfo').read().split()[1]) <= 512 * 1024)", "True"),
    ("/proc/self/status", "print('python3' in open('/proc/self/status').read())", "True"),
    ("/proc/self/exe", "import sys; print(os.path.realpath('/proc/self/exe') == os.path.realpath(sys.executable))", "True"),
    ("/proc/self/cwd", "os.mkdir('d'); os.chdir('d'); open('f', 'w').write('x'); print(os.readlink('/proc/self/cwd'), os.path.realpath(f'/proc/{os.getpid()}/cwd'), open('/proc/thread-self/cwd/f').read(), os.path.samefile('/proc/self/cwd', '.'), os.path.islink('/proc/self/cwd'), os.listdir('/proc/self/cwd/'))", "/work/d /work/d x True True ['f']"),
    ("/proc/self/cwd by other ways", "os.mkdir('d'); os.chdir('d'); p = os.open('/proc/self', os.O_RDONLY); os.symlink('/proc/self/cwd', '/tmp/l'); open('/tmp/l/f', 'w').write('y'); print(os.readlink('cwd', dir_fd=p), os.path.realpath('/tmp/l/f'), os.stat('cwd/../d/f', dir_fd=p).st_size); os.chdir('/'); os.chdir('/proc/self/cwd'); print(os.getcwd(), os.readlink('/proc/self/cwd'))", "/work/d /work/d/f 1\n/ /"),
    ("/proc/self/root", "print(os.readlink('/proc/self/root'), os.path.realpath('/proc/self/root/tmp'), os.path.samefile('/proc/self/root', '/'), open('/proc/self/root/etc/passwd').read() == open('/etc/passwd').read())\ntry: open('/proc/self/root/etc/shadow')\nexcept OSError as e: print(errno.errorcode[e.errno])", "/ /tmp True True\nEACCES"),
    ("/proc/thread-self", "print(os.path.realpath('/proc/thread-self'), open('/proc/thread-self/comm').read(), end='')", "/proc/self python3"),
    ("links of a process cannot be changed", "for call in (os.remove, os.mkdir, lambda p: os.symlink('/', p), lambda p: os.rename(p, 'x')):\n  try: call('/proc/self/cwd')\n  except OSError as e: print(errno.errorcode[e.errno], end=' ')\nprint()", "EACCES EEXIST EEXIST EACCES "),
    ("no other processes", "print([n for n in os.listdir('/proc') if n.isdecimal()])", "['1']"),
    ("its own number", "print(os.listdir(f'/proc/{os.getpid()}') == os.listdir('/proc/self'), open(f'/proc/{os.getpid()}/stat').read().split()[0] == str(os.getpid()))", "True True"),
    ("other numbers", "print([os.path.exists(f'/proc/{os.getpid() + n}/stat') for n in (1, 10 * os.getpid(), 10000)])", "[False, False, False]"),
    ("its memory", "def pages(): return int(open('/proc/self/statm').read().split()[1])\nbefore = pages(); held = b'x' * (40 << 20); print(8000 < pages() - before < 13000)", "True"),
    ("its threads", "import threading\nhold = threading.Event()\ndef seen(): return [line.split()[1] for line in open(f'/proc/{os.getpid()}/status') if line.startswith('Threads:')]\nbefore = seen(); threading.Thread(target=hold.wait).start(); print(before, seen()); hold.set()", "['1'] ['2']"),
    ("the host's name", "import socket, platform; print(socket.gethostname(), platform.node(), os.uname().nodename)", "belljar belljar belljar"),
    ("the environment", "print(os.environ['HOME'], 'SHELL' in os.environ, os.environ['LANG'])", "/home/user False C.UTF-8"),
    ("time zones", "import zoneinfo, datetime; print(datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')).utcoffset())", "2:00:00"),
    ("locale", "import locale; print(locale.setlocale(locale.LC_ALL, ''))", "C.UTF-8"),
    ("ssl and hashlib", "import hashlib; print(hashlib.new('sha256', b'').hexdigest()[:8])", "e3b0c442"),
]  # fmt: skip


@core
@pytest.mark.parametrize(("name", "code", "said"), SYNTHETIC, ids=[row[0] for row in SYNTHETIC])
def test_what_is_made_up(name, code, said, run):
    if "zoneinfo" in code and not os.path.exists("/usr/share/zoneinfo/Europe/Berlin"):
        pytest.skip("no tzdata here")
    assert run(code).stdout == said + "\n"


@core
def test_the_names_of_the_host_are_not_listed(run):
    names = run(
        "print(os.listdir('/') + os.listdir('/etc') + os.listdir('/usr') + os.listdir('/home') + os.listdir('/dev'))"
    ).stdout
    for name in ("root", "boot", "shadow", "ssh", "sda", "vda", "kmsg", "mem"):
        assert f"'{name}'" not in names


# ---- Every operation on files, that none of them is unknown to the supervisor's own filter ----------------------------


@core
def test_no_operation_on_files_ends_the_supervisor(template):
    """os has some forty functions on files, each with forms of its own: all are called, on scratch, a grant and nothing."""
    supervisor = looking.supervisors()[-1]
    code = """
import os, time
calls = 0
def go(name, *arguments, **more):
    global calls
    calls += 1
    try:
        result = getattr(os, name)(*arguments, **more)
        if isinstance(result, int) and name in ('open', 'dup'): os.close(result)
    except (OSError, ValueError, TypeError, NotImplementedError): pass
d = os.open('/work', os.O_RDONLY)
for path in ('f', '/work/f', 'd', '/work/none', '/usr/lib/python3', '/etc/passwd', '/etc', '/', '.', '..', '', '/dev/null', '/proc/self/exe', 'l'):
    open('f', 'w').write('x'); os.makedirs('d', exist_ok=True)
    if not os.path.lexists('l'): os.symlink('f', 'l')
    for more in ({}, {'dir_fd': d}):
        for follow in ({}, {'follow_symlinks': False}):
            for name, *rest in (('stat',), ('chmod', 0o744), ('chown', -1, -1), ('utime', (1, 1)), ('access', 4)):
                go(name, path, *rest, **more, **follow)
        for name, *rest in (('mkdir',), ('rmdir',), ('unlink',), ('readlink',), ('mkfifo',), ('mknod',), ('lstat',)):
            go(name, path, *rest, **more)
        for flags in (0, 1, 2, os.O_CREAT | 2, os.O_DIRECTORY, os.O_PATH, os.O_TMPFILE | 2, os.O_TRUNC | 1, os.O_APPEND | 1, os.O_NOFOLLOW, os.O_EXCL | os.O_CREAT, 0x7fffffff):
            go('open', path, flags, 0o777, **more)
    for name, *rest in (('listdir',), ('statvfs',), ('truncate', 3), ('chdir',), ('lchown', -1, -1), ('scandir',), ('getxattr', 'user.x'),
                        ('setxattr', 'user.x', b''), ('listxattr',), ('removexattr', 'user.x'), ('pathconf', 'PC_NAME_MAX')):
        go(name, path, *rest)
    os.chdir('/work')
    for other in ('g', '/tmp/g', 'd/g', '/etc/g', '/usr/lib/python3/g', '/none/g', ''):
        for name in ('rename', 'replace', 'link', 'symlink'):
            go(name, path, other)
            go(name, other, path)
    for flags in (os.O_RDWR | os.O_CREAT, 0, os.O_DIRECTORY):
        try: fd = os.open(path, flags)
        except OSError: continue
        for name, *rest in (('fstat',), ('fchmod', 0o700), ('fchown', -1, -1), ('ftruncate', 2), ('fsync',), ('fdatasync',), ('lseek', 0, 2), ('pread', 3, 0), ('pwrite', b'x', 0),
                            ('posix_fallocate', 0, 10), ('posix_fadvise', 0, 0, 0), ('fstatvfs',), ('fchdir',), ('get_blocking',), ('set_blocking', True), ('isatty',), ('ttyname',),
                            ('get_inheritable',), ('set_inheritable', True), ('listdir',), ('utime',), ('readv', [bytearray(2)]), ('writev', [b'x']), ('lockf', 1, 0),
                            ('copy_file_range', fd, 1), ('sendfile', fd, 0, 1), ('dup',), ('fpathconf', 'PC_NAME_MAX')):
            go(name, fd, *rest)
        os.close(fd)
        os.chdir('/work')
print(calls)
"""
    execution = template.run(code, timeout=20)
    assert execution.verdict == "ok", (execution, execution.error)
    assert int(execution.stdout) > 1500
    assert looking.stat_of(supervisor)
    assert template.run("6*7").text == "42"


@core
def test_every_system_call_number_leaves_the_supervisor_alive(template):
    """With zeros, with small numbers and with addresses of its own: all 472, each in a guest of its own that may die of it."""
    supervisor = looking.supervisors()[-1]
    ends = {}
    for number in range(472):
        if number in (34, 35, 0, 1, 60, 231, 202, 230, 232, 270, 7, 271, 281, 15):  # wait, end, or return from a signal
            continue
        code = f"""
import ctypes, os
libc = ctypes.CDLL(None)
b = ctypes.create_string_buffer(b'/work/f', 4096)
a = ctypes.addressof(b)
for arguments in ((0,) * 6, (a,) * 6, (1, a, a, 1, a, 1), (a, 1, a, a, 1, 1), (-1,) * 6, (-100, a, 1, 0, 0, 0), (a, a, 0, 0, 0, 0), (-100, a, -100, a, 0, 0), (-100, a, a, 0x1000, 0, 0)):
    libc.syscall(ctypes.c_long({number}), *[ctypes.c_long(x) for x in arguments])
"""
        verdict = template.run(code, timeout=0.5).verdict
        ends[verdict] = ends.get(verdict, 0) + 1
        assert verdict != "infra_error", number
        assert looking.stat_of(supervisor), number
    assert template.run("6*7").text == "42"
    assert ends["ok"] > 300
