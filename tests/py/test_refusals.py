"""The words of refusals, as tables: type, errno, filename or host and port, operation, object, rule and remedy; and the record."""

import json
import os
import pathlib
import subprocess

import pytest

import belljar

pytestmark = pytest.mark.core

PYENV = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv") / "versions"
OTHERS = (
    [str(path) for minor in (12, 13) for path in sorted(PYENV.glob(f"3.{minor}.*/bin/python3"))[-1:]]
    if os.access(PYENV, os.X_OK)
    else []
)
READ = "nothing grants {0} for reading (rule: read; remedy: --read {0} or Policy(read=['{0}']))"
WRITE = "nothing grants {0} for writing (rule: write; remedy: --write {0} (or its folder) or Policy(write=['{0}']))"
NETWORK = (
    '(rule: network; remedy: a loopback of its own, 127.0.0.1 and ::1, is --network self (network=["self"]); there is no other network: '
    "hand data in by files= or expose() a host function)"
)
PAIR = "(rule: network; remedy: a socket pair's ends are connected to each other and have no addresses: use send() and recv())"
PASSING = "(rule: network; remedy: a guest passes no descriptors and no control data: send the bytes alone)"
CONTROL = "(rule: network; remedy: use recv() or recv_into(): no descriptors and no control data come in)"
RECEIVE = (
    "(rule: network; remedy: use recv() or recv_into(), with no flag but MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT; a sender's address is told "
    'on a loopback of its own, --network self (network=["self"]))'
)
SEND = (
    "(rule: network; remedy: use send() or sendall(), with no flag but MSG_DONTWAIT, MSG_NOSIGNAL; there are addresses on a loopback of "
    'its own, --network self (network=["self"]))'
)
OPTIONS = (
    "(rule: network; remedy: leave it out: a socket pair's options stay as they are; those of sockets on a loopback of its own can be "
    'set, --network self (network=["self"]))'
)
COPIES = "(rule: system; remedy: read and write the bytes, as shutil.copyfileobj does: in a guest the kernel copies for nobody)"
LIMITS = "(rule: limits; remedy: limits are the policy's: set timeout, memory or cpu outside)"
NICER = "(rule: limits; remedy: a guest may be nicer to others, not less so)"
CODE = "(rule: jit; remedy: memory cannot become executable; leave out --no-jit (jit=False, the profile compute))"
DESCRIPTORS = "(rule: descriptors; remedy: a guest may duplicate descriptors and change close-on-exec and non-blocking)"
PROCESSES = (
    "(rule: processes; remedy: a guest is one process: run the other program outside, or use threads "
    "(multiprocessing.pool.ThreadPool, concurrent.futures.ThreadPoolExecutor))"
)
MADE = "(rule: write; remedy: the sandbox makes this file: write to /work, /tmp or $HOME)"
IDENTITY = "(rule: identity; remedy: a guest has one unprivileged identity and keeps it)"
OWNER = "(rule: identity; remedy: a guest has one unprivileged identity and keeps it: a file is its own or another's)"
ATTRIBUTES = "(rule: files; remedy: files have no extended attributes here; keep them in a file beside)"
DEVICE = "(rule: {}; remedy: terminals, disks and other devices of the machine are part of no grant)"
KERNEL = "(rule: read; remedy: procfs and the kernel's other files are part of no grant: hand in as a file what the program is to know (--file, files=))"
KERNEL_KEPT = "(rule: write; remedy: procfs and the kernel's other files are part of no grant)"
TREE = "(rule: files; remedy: a guest sees its own tree: ask for a path with read= or write=, or use /work and /tmp)"
NODES = "(rule: files; remedy: a guest makes files and directories; a pipe is os.pipe(), a local socket socket.socketpair())"
MEMORY = "(rule: memory; remedy: use private memory (bytearray, mmap of -1) or a file in /tmp)"
SYSTEM = "(rule: system; remedy: the machine's clock, name and devices are out of reach)"
NO_FILE, DENIED = "No such file or directory", "Permission denied"
REFUSED = "belljar: {} is refused"

# code, type, errno, filename, text, what is on record: (op, target, rule), a set of them or None
ROWS = [
    # What is there and not granted
    ("open('/etc/shadow')", "PermissionError", 13, "/etc/shadow", "belljar: open() is refused, " + READ.format("/etc/shadow"), ("openat", "/etc/shadow", "read")),
    ("open('../etc/../etc/shadow')", "PermissionError", 13, "../etc/../etc/shadow", "belljar: open() is refused, " + READ.format("/etc/shadow"), ("openat", "/etc/shadow", "read")),
    ("os.listdir('/root/x')", "PermissionError", 13, "/root/x", "belljar: open() is refused, " + READ.format("/root/x"), ("openat", "/root/x", "read")),
    ("os.scandir('/home/other')", "PermissionError", 13, "/home/other", "belljar: open() is refused, " + READ.format("/home/other"), ("openat", "/home/other", "read")),
    ("open('/root/a b')", "PermissionError", 13, "/root/a b",
     "belljar: open() is refused, nothing grants /root/a b for reading (rule: read; remedy: --read '/root/a b' or Policy(read=['/root/a b']))", ("openat", "/root/a b", "read")),
    ("open('/etc/x', 'w')", "PermissionError", 13, "/etc/x", "belljar: open() is refused, " + WRITE.format("/etc/x"), ("openat", "/etc/x", "write")),
    ("open('/etc/passwd', 'a')", "PermissionError", 13, "/etc/passwd", REFUSED.format("open()") + ": /etc/passwd " + MADE, ("openat", "/etc/passwd", "write")),
    ("os.mkdir('/etc/x')", "PermissionError", 13, "/etc/x", "belljar: mkdir() is refused, " + WRITE.format("/etc/x"), ("mkdir", "/etc/x", "write")),
    ("os.remove('/etc/passwd')", "PermissionError", 13, "/etc/passwd", "belljar: remove() is refused, " + WRITE.format("/etc/passwd"), ("unlink", "/etc/passwd", "write")),
    ("os.remove('/etc/shadow')", "PermissionError", 13, "/etc/shadow", "belljar: remove() is refused, " + WRITE.format("/etc/shadow"), ("unlink", "/etc/shadow", "write")),
    ("os.rename('/etc/passwd', '/tmp/x')", "PermissionError", 13, "/etc/passwd", "belljar: rename() is refused, " + WRITE.format("/etc/passwd"), ("rename", "/etc/passwd", "write")),
    ("os.chmod('/etc/passwd', 0o777)", "PermissionError", 13, "/etc/passwd", "belljar: chmod() is refused, " + WRITE.format("/etc/passwd"), ("chmod", "/etc/passwd", "write")),
    ("os.truncate('/etc/passwd', 0)", "PermissionError", 13, "/etc/passwd", REFUSED.format("truncate()") + ": /etc/passwd " + MADE, ("truncate", "/etc/passwd", "write")),
    ("os.symlink('x', '/etc/y')", "PermissionError", 13, "x", "belljar: symlink() is refused, " + WRITE.format("/etc/y"), ("symlink", "/etc/y", "write")),
    ("os.chdir('/root')", "PermissionError", 13, "/root", DENIED + ": chdir(): " + READ.format("/root"), None),
    ("os.readlink('/root/x')", "PermissionError", 13, "/root/x", DENIED + ": readlink(): " + READ.format("/root/x"), None),
    ("os.stat('/etc/shadow')", "PermissionError", 13, "/etc/shadow", DENIED + ": stat(): " + READ.format("/etc/shadow"), None),
    # What is not there
    ("open('/nowhere/x')", "FileNotFoundError", 2, "/nowhere/x", NO_FILE + ": open(): " + READ.format("/nowhere/x"), None),
    ("open('/etc/optional.conf')", "FileNotFoundError", 2, "/etc/optional.conf", NO_FILE + ": open(): " + READ.format("/etc/optional.conf"), None),
    ("open('/nowhere/x', 'w')", "FileNotFoundError", 2, "/nowhere/x", NO_FILE + ": open(): " + WRITE.format("/nowhere/x"), None),
    ("os.mkdir('/nowhere/x')", "FileNotFoundError", 2, "/nowhere/x", NO_FILE + ": mkdir(): " + WRITE.format("/nowhere/x"), None),
    ("os.chdir('/nowhere')", "FileNotFoundError", 2, "/nowhere", NO_FILE + ": chdir(): " + READ.format("/nowhere"), None),
    ("open('/work/none')", "FileNotFoundError", 2, "/work/none", NO_FILE, None),
    ("open('none')", "FileNotFoundError", 2, "none", NO_FILE, None),
    # Special files and the tree
    ("os.mknod('/tmp/x', 0o20600, 259)", "PermissionError", 1, None, REFUSED.format("mknod()") + ": /tmp/x " + NODES, ("mknodat", "/tmp/x", "files")),
    ("os.mkfifo('/tmp/x')", "PermissionError", 1, None, REFUSED.format("mknod()") + ": /tmp/x " + NODES, ("mknodat", "/tmp/x", "files")),
    ("os.chroot('/')", "PermissionError", 1, "/", REFUSED.format("chroot()") + ": / " + TREE, ("chroot", "/", "files")),
    ("os.chown('/tmp', 0, 0)", "PermissionError", 1, "/tmp", REFUSED.format("chown()") + ": /tmp " + OWNER, ("chown", "/tmp", "identity")),
    ("os.lchown('/tmp', 1, 1)", "PermissionError", 1, "/tmp", REFUSED.format("chown()") + ": /tmp " + OWNER, ("lchown", "/tmp", "identity")),
    ("os.fchown(0, 1, 1)", "PermissionError", 1, None, REFUSED.format("chown()") + ": to user 1 " + IDENTITY, ("fchown", "to user 1", "identity")),
    ("os.setxattr('/tmp', 'user.a', b'')", "OSError", 95, "/tmp", REFUSED.format("setxattr()") + ": /tmp " + ATTRIBUTES, ("setxattr", "/tmp", "files")),
    ("os.removexattr('/tmp', 'user.a')", "OSError", 95, "/tmp", REFUSED.format("removexattr()") + ": /tmp " + ATTRIBUTES, ("removexattr", "/tmp", "files")),
    ("os.setxattr(0, 'user.a', b'')", "OSError", 95, 0, REFUSED.format("fsetxattr()") + ": descriptor 0 " + ATTRIBUTES, ("fsetxattr", "descriptor 0", "files")),
    ("os.listxattr('/tmp')", "OSError", 95, "/tmp", "Operation not supported", None),
    ("os.open('/tmp', os.O_PATH)", "OSError", 95, "/tmp", "Operation not supported: open(): O_PATH (rule: files; remedy: open it for reading "
     "(os.O_RDONLY); a directory as well is open then for dir_fd)", None),
    # The kernel's files: no grant can be had
    ("open('/proc/1/environ')", "PermissionError", 13, "/proc/1/environ", REFUSED.format("open()") + ": /proc/1/environ " + KERNEL, ("openat", "/proc/1/environ", "read")),
    ("os.listdir('/proc/self/fd/../environ')", "PermissionError", 13, "/proc/self/fd/../environ", REFUSED.format("open()") + ": /proc/self/environ " + KERNEL, ("openat", "/proc/self/environ", "read")),
    ("os.stat('/proc/kcore')", "PermissionError", 13, "/proc/kcore", DENIED + ": stat(): nothing grants /proc/kcore for reading " + KERNEL, None),
    ("open('/proc/self/limits')", "FileNotFoundError", 2, "/proc/self/limits", NO_FILE + ": open(): nothing grants /proc/self/limits for reading " + KERNEL, None),
    ("open('/sys/kernel/debug/x')", "PermissionError", 13, "/sys/kernel/debug/x", REFUSED.format("open()") + ": /sys/kernel/debug/x " + KERNEL, ("openat", "/sys/kernel/debug/x", "read")),
    ("open('/sys/class/none')", "FileNotFoundError", 2, "/sys/class/none", NO_FILE + ": open(): " + READ.format("/sys/class/none"), None),
    ("open('/proc/self/oom_score_adj', 'w')", "PermissionError", 13, "/proc/self/oom_score_adj", REFUSED.format("open()") + ": /proc/self/oom_score_adj " + KERNEL_KEPT, ("openat", "/proc/self/oom_score_adj", "write")),
    ("os.mkdir('/proc/x')", "PermissionError", 13, "/proc/x", REFUSED.format("mkdir()") + ": /proc/x " + KERNEL_KEPT, ("mkdir", "/proc/x", "write")),
    ("os.chmod('/proc/self/status', 0)", "PermissionError", 13, "/proc/self/status", REFUSED.format("chmod()") + ": /proc/self/status " + KERNEL_KEPT, ("chmod", "/proc/self/status", "write")),
    ("os.rmdir('/proc')", "PermissionError", 13, "/proc", REFUSED.format("rmdir()") + ": /proc " + KERNEL_KEPT, ("rmdir", "/proc", "write")),
    # Devices and terminals
    ("open('/dev/zero', 'wb')", "PermissionError", 13, "/dev/zero", REFUSED.format("open()") + ": /dev/zero " + DEVICE.format("write"), ("openat", "/dev/zero", "write")),
    ("os.chmod('/dev', 0)", "PermissionError", 13, "/dev", REFUSED.format("chmod()") + ": /dev " + DEVICE.format("write"), ("chmod", "/dev", "write")),
    ("open('/dev/sda')", "PermissionError", 13, "/dev/sda", REFUSED.format("open()") + ": /dev/sda " + DEVICE.format("read"), ("openat", "/dev/sda", "read")),
    ("open('/dev/ptmx', 'r+b', 0)", "PermissionError", 13, "/dev/ptmx", REFUSED.format("open()") + ": /dev/ptmx " + DEVICE.format("write"), ("openat", "/dev/ptmx", "write")),
    ("__import__('pty').openpty()", "PermissionError", 13, None, REFUSED.format("open()") + ": /dev/ptmx " + DEVICE.format("write"), ("openat", "/dev/ptmx", "write")),
    ("__import__('pty').fork()", "PermissionError", 13, None, REFUSED.format("open()") + ": /dev/ptmx " + DEVICE.format("write"), {("clone", "", "processes"), ("openat", "/dev/ptmx", "write")}),
    ("os.openpty()", "PermissionError", 13, None, REFUSED.format("open()") + ": /dev/ptmx " + DEVICE.format("write"), ("openat", "/dev/ptmx", "write")),
    ("open('/dev/tty')", "OSError", 6, "/dev/tty", "No such device or address", None),
    ("os.tcgetpgrp(0)", "OSError", 25, None, "Inappropriate ioctl for device", None),
    ("os.get_terminal_size()", "OSError", 25, None, "Inappropriate ioctl for device", None),
    # Processes
    ("subprocess.run(['ls'])", "PermissionError", 1, "ls", REFUSED.format("subprocess.Popen()") + ": ls " + PROCESSES, ("execve", "ls", "processes")),
    ("os.system('ls')", "PermissionError", 1, "ls", REFUSED.format("os.system()") + ": ls " + PROCESSES, ("execve", "ls", "processes")),
    ("os.popen('ls')", "PermissionError", 1, "/bin/sh", REFUSED.format("subprocess.Popen()") + ": /bin/sh " + PROCESSES, ("execve", "/bin/sh", "processes")),
    ("os.execv('/bin/ls', ['ls'])", "PermissionError", 1, "/bin/ls", REFUSED.format("os.exec*()") + ": /bin/ls " + PROCESSES, ("execve", "/bin/ls", "processes")),
    ("os.posix_spawn('/bin/ls', ['ls'], {})", "PermissionError", 1, "/bin/ls", REFUSED.format("os.posix_spawn()") + ": /bin/ls " + PROCESSES, ("execve", "/bin/ls", "processes")),
    ("os.fork()", "PermissionError", 1, None, REFUSED.format("starting a process") + " " + PROCESSES, ("clone", "", "processes")),
    ("os.forkpty()", "PermissionError", 1, None, REFUSED.format("os.forkpty()") + " " + PROCESSES, ("clone", "", "processes")),
    ("multiprocessing.Process(target=print).start()", "PermissionError", 1, None, REFUSED.format("starting a process") + " " + PROCESSES, ("clone", "", "processes")),
    ("multiprocessing.Pool(2)", "PermissionError", 1, None, REFUSED.format("starting a process") + " " + PROCESSES, ("clone", "", "processes")),
    ("concurrent.futures.ProcessPoolExecutor(2).submit(print)", "PermissionError", 1, None, REFUSED.format("starting a process") + " " + PROCESSES, ("clone", "", "processes")),
    ("_posixsubprocess.fork_exec(['ls'], [b'/bin/ls'], True, (), None, None, -1, -1, -1, -1, -1, -1, *pipe(), True, False, *rest())",
     "PermissionError", 1, None, REFUSED.format("starting a process") + " " + PROCESSES, {("vfork", "", "processes"), ("clone", "", "processes")}),
    ("os.kill(1, 9)", "PermissionError", 1, None, REFUSED.format("kill()") + ": process 1 (rule: processes; remedy: a guest may signal only itself)", ("kill", "process 1", "processes")),
    ("os.killpg(7, 9)", "PermissionError", 1, None, REFUSED.format("kill()") + ": process group 7 (rule: processes; remedy: a guest may signal only itself)", ("kill", "process group 7", "processes")),
    ("os.kill(-1, 9)", "PermissionError", 1, None, REFUSED.format("kill()") + ": all processes (rule: processes; remedy: a guest may signal only itself)", ("kill", "all processes", "processes")),
    ("os.setpgid(7, 7)", "PermissionError", 1, None, REFUSED.format("setpgid()") + ": process 7 " + PROCESSES, ("setpgid", "process 7", "processes")),
    ("os.pidfd_open(1)", "PermissionError", 1, None, REFUSED.format("pidfd_open()") + ": process 1 " + PROCESSES, ("pidfd_open", "process 1", "processes")),
    # The network
    ("socket.socket()", "PermissionError", 1, None, REFUSED.format("socket()") + ": AF_INET " + NETWORK, ("socket", "AF_INET", "network")),
    ("socket.socket(socket.AF_UNIX)", "PermissionError", 1, None, REFUSED.format("socket()") + ": AF_UNIX " + NETWORK, ("socket", "AF_UNIX", "network")),
    ("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", "PermissionError", 1, None, REFUSED.format("socket()") + ": AF_NETLINK " + NETWORK, ("socket", "AF_NETLINK", "network")),
    ("socket.socket(socket.AF_INET6)", "PermissionError", 1, None, "Operation not permitted: socket(): AF_INET6 " + NETWORK, None),
    ("socket.if_nametoindex('lo')", "PermissionError", 1, "lo", REFUSED.format("socket.if_nametoindex()") + ": AF_NETLINK " + NETWORK, ("socket", "AF_NETLINK", "network")),
    ("socket.if_indextoname(1)", "PermissionError", 1, 1, REFUSED.format("socket.if_indextoname()") + ": AF_NETLINK " + NETWORK, ("socket", "AF_NETLINK", "network")),
    ("socket.if_nameindex()", "PermissionError", 1, None, REFUSED.format("socket.if_nameindex()") + ": AF_NETLINK " + NETWORK, ("socket", "AF_NETLINK", "network")),
    ("socket.getaddrinfo('example.com', 443)", "gaierror", -4, "example.com", REFUSED.format("socket.getaddrinfo()") + ": example.com, port 443 " + NETWORK, ("connect", "example.com, port 443", "network")),
    ("socket.getaddrinfo('example.com', None)", "gaierror", -4, "example.com", REFUSED.format("socket.getaddrinfo()") + ": example.com " + NETWORK, ("connect", "example.com", "network")),
    ("asyncio.run(asyncio.start_server(print, None, 9))", "gaierror", -4, None, REFUSED.format("socket.getaddrinfo()") + ": any address, port 9 " + NETWORK, ("connect", "any address, port 9", "network")),
    ("socket.create_connection(('example.com', 80))", "gaierror", -4, "example.com", REFUSED.format("socket.getaddrinfo()") + ": example.com, port 80 " + NETWORK, ("connect", "example.com, port 80", "network")),
    ("socket.create_connection(('192.0.2.7', 80))", "PermissionError", 1, "192.0.2.7", REFUSED.format("socket.getaddrinfo()") + ": 192.0.2.7, port 80 " + NETWORK, ("connect", "192.0.2.7, port 80", "network")),
    ("socket.gethostbyname('example.com')", "gaierror", -4, "example.com", REFUSED.format("socket.gethostbyname()") + ": example.com " + NETWORK, ("connect", "example.com", "network")),
    ("socket.gethostbyaddr('192.0.2.7')", "herror", 1, "192.0.2.7", "Operation not permitted: socket.gethostbyaddr(): 192.0.2.7 " + NETWORK, None),
    ("socket.getnameinfo(('192.0.2.7', 80), 0)", "gaierror", -4, "192.0.2.7", "Operation not permitted: socket.getnameinfo(): 192.0.2.7, port 80 " + NETWORK, None),
    ("socket.socketpair()[0].sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, bytes(4))])", "PermissionError", 1, None, REFUSED.format("sendmsg()") + " " + PASSING, ("sendmmsg", "", "network")),
    ("socket.socketpair()[0].recvmsg(9)", "PermissionError", 1, None, REFUSED.format("recvmsg()") + ": descriptor 5 " + CONTROL, ("recvmsg", "descriptor 5", "network")),
    ("socket.socketpair()[0].recvfrom(9)", "PermissionError", 1, None, REFUSED.format("recvfrom()") + ": descriptor 5 " + RECEIVE, ("recvfrom", "descriptor 5", "network")),
    ("socket.socketpair()[0].recv(9, socket.MSG_OOB)", "PermissionError", 1, None, REFUSED.format("recvfrom()") + ": descriptor 5 " + RECEIVE, ("recvfrom", "descriptor 5", "network")),
    ("socket.socketpair()[0].sendto(b'x', '/tmp/s')", "PermissionError", 1, None, REFUSED.format("sendto()") + ": AF_UNIX /tmp/s " + SEND, ("sendto", "AF_UNIX /tmp/s", "network")),
    ("socket.socketpair()[0].send(b'x', socket.MSG_OOB)", "PermissionError", 1, None, REFUSED.format("sendto()") + ": flags 0x1 " + SEND, ("sendto", "flags 0x1", "network")),
    ("socket.socketpair()[0].send(b'', socket.MSG_OOB)", "PermissionError", 1, None, REFUSED.format("sendto()") + ": flags 0x1 " + SEND, ("sendto", "flags 0x1", "network")),
    ("socket.socketpair()[0].sendmsg([b'x', b'y'], [], socket.MSG_OOB)", "PermissionError", 1, None, REFUSED.format("sendto()") + ": flags 0x1 " + SEND, ("sendto", "flags 0x1", "network")),
    ("socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 9)", "PermissionError", 1, None, REFUSED.format("setsockopt()") + ": option 7 " + OPTIONS, ("setsockopt", "option 7", "network")),
    ("socket.socketpair(type=socket.SOCK_DGRAM)", "OSError", 95, None, REFUSED.format("socketpair()") + ": socket type 2 (rule: network; remedy: a pair is a stream "
     "(socket.SOCK_STREAM): send each message with its length)", ("socketpair", "socket type 2", "network")),
    ("socket.socketpair(socket.AF_INET)", "OSError", 97, None, "Address family not supported by protocol", None),
    ("socket.socketpair()[0].bind('/tmp/s')", "PermissionError", 1, None, REFUSED.format("bind()") + ": AF_UNIX /tmp/s " + PAIR, ("bind", "AF_UNIX /tmp/s", "network")),
    ("socket.socketpair()[0].connect('/tmp/s')", "PermissionError", 1, None, REFUSED.format("connect()") + ": AF_UNIX /tmp/s " + PAIR, ("connect", "AF_UNIX /tmp/s", "network")),
    ("socket.socketpair()[0].listen()", "PermissionError", 1, None, REFUSED.format("listen()") + ": descriptor 5 " + PAIR, ("listen", "descriptor 5", "network")),
    ("socket.socketpair()[0].accept()", "PermissionError", 1, None, REFUSED.format("accept4()") + ": descriptor 5 " + PAIR, ("accept4", "descriptor 5", "network")),
    ("os.posix_fallocate(holes(), 0, 9)", "OSError", 95, None, "Operation not supported: posix_fallocate(): descriptor 5 (rule: system; remedy: the file has holes: open it "
     "for reading and writing, without O_APPEND)", None),
    # What libraries try and go on without: nobody is asked, and nothing is on record
    ("os.sendfile(1, 0, 0, 9)", "OSError", 22, None, "Invalid argument: sendfile(): descriptor 0 to 1 " + COPIES, None),
    ("os.sendfile(1, 0, None, 9)", "OSError", 22, None, "Invalid argument: sendfile(): descriptor 0 to 1 " + COPIES, None),
    ("os.splice(0, 1, 9)", "OSError", 22, None, "Invalid argument: splice(): descriptor 0 to 1 " + COPIES, None),
    ("os.copy_file_range(0, 1, 9)", "OSError", 22, None, "Invalid argument: copy_file_range(): descriptor 0 to 1 " + COPIES, None),
    ("os.lseek(os.open('x', os.O_CREAT), -1, 0)", "OSError", 22, None, "Invalid argument", None),
    ("asyncio.run(asyncio.start_server(print, '127.0.0.1', 8000))", "PermissionError", 1, None, REFUSED.format("socket()") + ": AF_INET " + NETWORK + ": host '127.0.0.1', port 8000", ("socket", "AF_INET", "network")),
    ("asyncio.run(asyncio.open_connection('192.0.2.7', 80))", "PermissionError", 1, "192.0.2.7", REFUSED.format("socket()") + ": AF_INET " + NETWORK + ": host '192.0.2.7', port 80", ("socket", "AF_INET", "network")),
    ("socket.socketpair()[0].getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)", "OSError", 92, None,
     "Protocol not available: getsockopt(): option 17 of level 1 (rule: network; remedy: options that tell of the socket alone can be read)", None),
    ("socket.socket(fileno=os.open('/tmp', 0))", "OSError", 88, None, "Socket operation on non-socket", None),
    # The machine and the identity
    ("os.memfd_create('x')", "PermissionError", 1, None, REFUSED.format("memfd_create()") + ": x " + MEMORY, ("memfd_create", "x", "memory")),
    ("socket.sethostname('x')", "PermissionError", 1, None, REFUSED.format("sethostname()") + ": x " + SYSTEM, ("sethostname", "x", "system")),
    ("time.clock_settime(0, 0)", "PermissionError", 1, None, REFUSED.format("clock_settime()") + ": clock 0 " + SYSTEM, ("clock_settime", "clock 0", "system")),
    ("time.clock_gettime(-6)", "PermissionError", 1, None, REFUSED.format("clock_gettime()") + ": clock -6 " + PROCESSES, ("clock_gettime", "clock -6", "processes")),
    ("time.clock_gettime(77)", "OSError", 22, None, "Invalid argument", None),
    ("time.clock_getres(77)", "OSError", 22, None, "Invalid argument", None),
    ("os.setuid(0)", "PermissionError", 1, None, REFUSED.format("setuid()") + ": user 0 " + IDENTITY, ("setuid", "user 0", "identity")),
    ("os.seteuid(0)", "PermissionError", 1, None, REFUSED.format("setresuid()") + ": user 0 " + IDENTITY, ("setresuid", "user 0", "identity")),
    ("os.setregid(-1, 7)", "PermissionError", 1, None, REFUSED.format("setregid()") + ": group 7 " + IDENTITY, ("setregid", "group 7", "identity")),
    ("os.nice(-1)", "PermissionError", 1, None, REFUSED.format("nice()") + ": priority -1 " + NICER, ("setpriority", "priority -1", "limits")),
    ("[os.nice(5), os.nice(-1)]", "PermissionError", 1, None, REFUSED.format("nice()") + ": priority 4 " + NICER, ("setpriority", "priority 4", "limits")),
    ("[os.nice(5), os.setpriority(0, 0, 4)]", "PermissionError", 13, None, REFUSED.format("nice()") + ": priority 4 " + NICER, ("setpriority", "priority 4", "limits")),
    ("os.getpriority(os.PRIO_USER, 7)", "PermissionError", 1, None, REFUSED.format("getpriority()") + ": that of 7 " + LIMITS, ("getpriority", "that of 7", "limits")),
    ("os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))", "PermissionError", 1, None, REFUSED.format("sched_setscheduler()") + ": process 0 " + LIMITS, ("sched_setscheduler", "process 0", "limits")),
    ("os.sched_getscheduler(77)", "PermissionError", 1, None, "Operation not permitted: sched_getscheduler(): process 77 " + LIMITS, None),
    ("__import__('resource').prlimit(77, 7)", "PermissionError", 1, None, REFUSED.format("setrlimit()") + ": process 77 (rule: processes; remedy: a guest may look at its own limits only)", ("prlimit64", "process 77", "processes")),
    ("__import__('fcntl').ioctl(0, 21522, b'x')", "PermissionError", 1, None, REFUSED.format("ioctl()") + ": command 21522 " + DESCRIPTORS, ("ioctl", "command 21522", "descriptors")),
    ("__import__('mmap').mmap(-1, 4096, prot=7)", "PermissionError", 1, None, REFUSED.format("mmap()") + ": executable memory " + CODE, ("mmap", "executable memory", "jit")),
    ("os.setgroups([])", "PermissionError", 1, None, REFUSED.format("setgroups()") + " " + IDENTITY, ("setgroups", "", "identity")),
    # Quotas
    ("open('/tmp/big', 'wb').truncate(1 << 40)", "OSError", 27, None,
     "File too large: no file may have more than scratch has, 2097152 bytes (rule: scratch; remedy: --scratch SIZE or Policy(scratch=SIZE))", None),
    ("fill()", "OSError", 28, None, "No space left on device: scratch has 2097152 bytes (rule: scratch; remedy: --scratch SIZE or Policy(scratch=SIZE)), "
     "or the granted folder's disk is full", None),
    ("[open(f'/tmp/n{n}', 'w').close() for n in range(99)]", "OSError", 28, ..., "No space left on device: scratch has no room for a file more, of 50 "
     "(rule: scratch; remedy: --scratch-files N or Policy(scratch_files=N))", None),
    ("[os.dup(0) for n in range(99)]", "OSError", 24, None, "Too many open files: 40 may be open (rule: descriptors; remedy: --descriptors N or "
     "Policy(descriptors=N))", None),
]  # fmt: skip

SETUP = """
import _posixsubprocess, asyncio, concurrent.futures, inspect, json, multiprocessing, os, socket, subprocess, sys, time
def pipe():
    return os.pipe()
def holes():
    with open('/tmp/holes', 'wb') as file:
        file.truncate(9)
    return os.open('/tmp/holes', os.O_WRONLY)
def rest():
    return -1, None, None, None, -1, None, True
def fill():
    for n in range(9):
        with open(f'/tmp/fill{n}', 'wb', 0) as file:
            file.write(b'x' * 500_000)
"""


@pytest.fixture(scope="module")
def template():
    policy = belljar.Policy(scratch="2M", scratch_files=50, descriptors=40, jit=False)
    with belljar.Template(policy, preload=["asyncio", "concurrent.futures", "multiprocessing", "subprocess"]) as made:
        yield made


FILTERED = "os.chroot('/')", "socket.sethostname('x')", "time.clock_settime(0, 0)"


def is_filtered():
    with open("/proc/self/status") as status:
        return "\nSeccomp:\t2" in status.read()


@pytest.mark.parametrize("code, kind, number, filename, text, record", ROWS, ids=[row[0][:70] for row in ROWS])
def test_a_refusal_has_type_errno_object_rule_and_remedy(template, code, kind, number, filename, text, record):
    if code in FILTERED and is_filtered():
        pytest.skip("a filter is on already, of a container: the kernel lets the strictest answer, and that one is without words")
    if code == "fill()" and template.layers["namespaces"] != "on":
        pytest.skip(
            "the machine has no namespaces for us, and so no scratch that can be full: who writes more than the quota is ended"
        )
    execution = template.run(SETUP + f"try:\n    {code}\nexcept OSError as e:\n"
                             "    print(json.dumps([type(e).__name__, e.errno, e.filename, e.strerror]))")  # fmt: skip
    found = json.loads(execution.stdout)
    if filename is ...:
        found[2] = ...
    assert found == [kind, number, filename, text]
    records = {(violation.op, violation.target, violation.rule) for violation in execution.violations}
    assert records == ({record} if isinstance(record, tuple) else record or set())
    for violation in execution.violations:
        assert violation.hint and "PATH" not in violation.hint
    assert execution.verdict == "ok"


def test_the_nearest_permitted_things_are_not_refused(template):
    execution = template.run(SETUP + """
import multiprocessing.pool
open('/etc/passwd').close(), os.mkdir('x'), open('x/y', 'w').close(), os.rename('x/y', 'z'), os.chmod('z', 0o600), os.truncate('z', 3)
import shutil
shutil.copyfile('z', 'copy'), [(a.sendall(b'xy'), b.recv(1), b.recv_into(bytearray(1)), a.sendfile(open('z', 'rb'))) for a, b in [socket.socketpair()]]
os.symlink('z', 'l'), os.readlink('l'), os.chdir('/etc'), os.nice(2), os.nice(0), os.nice(1), os.getpriority(0, 0), os.setresuid(-1, os.getuid(), -1),
[a.sendmsg([b'x']) for a, b in [socket.socketpair()]], [a.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) for a, b in [socket.socketpair()]], socket.getfqdn(), socket.getfqdn('example.com'), os.kill(os.getpid(), 0), socket.socketpair(), os.pipe()
assert [(a.sendmsg([b'x', memoryview(b'abcd')[1:], b''], [], socket.MSG_DONTWAIT), b.recv(9)) for a, b in [socket.socketpair()]] == [(4, b'xbcd')]
import platform, threading, uuid
time.clock_gettime(time.pthread_getcpuclockid(threading.get_ident())), platform.architecture(), uuid.uuid1(), uuid.getnode()
print(multiprocessing.pool.ThreadPool(2).map(abs, [-1]), concurrent.futures.ThreadPoolExecutor(2).submit(abs, -2).result())
""")  # fmt: skip
    assert (execution.stdout, execution.verdict, execution.violations) == ("[1] 2\n", "ok", [])


def test_a_file_of_the_kernels_inside_a_grant_is_refused_with_a_record_however_it_is_asked_for(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grant")
    for path in (folder.parent, folder):
        path.chmod(0o755)
    (folder / "proc").mkdir()
    (folder / "plain").write_text("x")
    if subprocess.run(["mount", "-t", "proc", "proc", folder / "proc"], capture_output=True).returncode != 0:
        pytest.skip("this user mounts no procfs")
    try:
        with belljar.Template(belljar.Policy(read=[folder], timeout=5), python="/usr/bin/python3") as template:
            for look, op in (("os.stat", "newfstatat"), ("open", "openat")):
                execution = template.run(f"import os\n{look}('{folder}/proc/uptime')")
                assert execution.verdict == "violation", (look, execution)
                assert "only regular files and directories are handed out" in execution.error.value
                assert [(v.op, v.target, v.rule) for v in execution.violations] == [(op, f"{folder}/proc/uptime", "read")]
                twin = template.run(f"import os\n{look}('{folder}/plain')")
                assert (twin.verdict, twin.violations) == ("ok", [])
    finally:
        subprocess.run(["umount", folder / "proc"], check=True)


def test_what_is_there_is_decided_by_the_policy_and_not_by_the_host(tmp_path_factory):
    """One answer for a file of the host and for none; beside a grant all is closed."""
    folder = tmp_path_factory.mktemp("grant")
    folder.chmod(0o755)
    (folder / "given").mkdir()
    (folder / "given").chmod(0o755)
    (folder / "secret").write_text("x")
    code = """
for name in ('secret', 'none', 'none/x', 'libnone.so.1'):
    for call in (open, os.stat, os.listdir):
        try: call(TOP + '/' + name)
        except OSError as e: print(name, e.errno)
"""
    host = os.path.realpath(folder)
    for top, number in ((host, 13), ("/nowhere", 2)):
        policy = belljar.Policy(read=[str(folder / "given")])
        lines = belljar.run(f"import os\nTOP = {top!r}\n" + code, policy).stdout.splitlines()
        assert lines[:9] == [f"{name} {error}" for name in ("secret", "none", "none/x") for error in (number, 2, number)]
        assert lines[9:] == ["libnone.so.1 2"] * 3  # the loader's search


def test_a_thread_gets_the_words_of_its_own_refusal(template):
    execution = template.run("""
import threading, os
wrong = []
def run(name, times):
    for n in range(times):
        try: open('/root/' + name)
        except OSError as e:
            if "--read /root/" + name + " " not in str(e): wrong.append(str(e))
        try: os.stat(name)
        except OSError as e:
            if 'belljar' in str(e): wrong.append(str(e))
threads = [threading.Thread(target=run, args=('file%d' % n, 50)) for n in range(2)]
[t.start() for t in threads], [t.join() for t in threads]
print(wrong)
""")  # fmt: skip
    assert execution.stdout == "[]\n"


def test_an_error_of_somebody_elses_gets_no_words(template):
    """A refusal that nobody asked about is forgotten at the thread's next call, and told once."""
    execution = template.run("""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print(libc.open(b'/etc/shadow', 0), os.path.exists('/work'), os.strerror(13))
print(libc.open(b'/etc/shadow', 0), 'rule: read' in os.strerror(13), os.strerror(13))
""")  # fmt: skip
    assert execution.stdout == "-1 True Permission denied\n-1 True Permission denied\n"


def test_native_code_that_raises_through_the_interpreter_has_the_same_words_and_record(template):
    execution = template.run("""
import ctypes
libc, python = ctypes.CDLL(None), ctypes.pythonapi
python.PyErr_SetFromErrno.argtypes, python.PyErr_SetFromErrno.restype = [ctypes.py_object], ctypes.py_object
libc.syscall(257, -100, b'/etc/shadow', 0)
try: python.PyErr_SetFromErrno(OSError)
except OSError as e: print(e)
""")  # fmt: skip
    assert "belljar: open() is refused, " + READ.format("/etc/shadow") in execution.stdout
    assert [(one.op, one.target, one.rule) for one in execution.violations] == [("openat", "/etc/shadow", "read")]


def test_no_probe_of_the_hook_can_succeed():
    """What is tried for words is no call on a path: one program run, every operation on record, is each call once."""
    seen = []
    with belljar.Template(
        belljar.Policy(), on_operation=lambda _guest, op, target, outcome, rule: seen.append((op, target, outcome))
    ) as made:
        made.run("import os\nos.mkdir('a')\nos.chdir('a')\nos.mkdir('../b')\nos.rename('../b', '../c')\nos.rmdir('../c')\n")
    wanted = ("mkdir", "rename", "rmdir")
    assert [row for row in seen if row[0] in wanted] == [("mkdir", "/work/a", "ok"), ("mkdir", "/work/b", "ok"),
                                                         ("rename", "/work/c", "ok"), ("rmdir", "/work/c", "ok")]  # fmt: skip


def test_a_limit_that_is_raised_is_a_value_error_with_words(template):
    """The module's own exception; down and to the same limit is permitted."""
    execution = template.run("""
import resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
try: resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard + 1))
except ValueError as e: print(e)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)), resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
""")  # fmt: skip
    assert execution.stdout == (
        "not allowed to raise maximum limit: belljar: setrlimit() is refused: resource 7 "
        "(rule: limits; remedy: limits are the policy's: set timeout, memory or cpu outside)\n"
    )
    assert [(one.op, one.target, one.rule) for one in execution.violations] == [("prlimit64", "resource 7", "limits")]
    ends = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, ({}, 1 << 30))"
    assert template.run(ends.format("1 << 30")).verdict == "violation" and template.run(ends.format("1 << 31")).verdict == "error"


def test_a_callback_without_executable_memory_is_a_memory_error_with_words_and_one_record(template):
    program = "import ctypes\nmake = ctypes.{}(ctypes.c_int)\n"
    for kind in ("CFUNCTYPE", "PYFUNCTYPE"):
        execution = template.run(program.format(kind) + "make(lambda: 1)")
        assert execution.verdict == "violation" and execution.error.name == "MemoryError"
        assert execution.error.value == "belljar: a callback of ctypes is refused: executable memory " + CODE
        assert [(one.op, one.target, one.rule) for one in execution.violations] == [("mmap", "executable memory", "jit")]
        assert "_adapt" not in execution.stderr and "<belljar>" not in execution.stderr
        twin = template.run(program.format(kind) + "print(make(('getpid', ctypes.CDLL(None)))() > 0, bool(make()))")
        assert (twin.stdout, twin.verdict, twin.violations) == ("True False\n", "ok", [])


def test_a_callback_in_the_profile_that_only_computes_has_the_same_words():
    with belljar.Template(belljar.Policy(profile="compute"), preload=["ctypes"]) as made:
        execution = made.run("import ctypes\nctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)")
        assert execution.verdict == "violation" and execution.error.value.endswith("executable memory " + CODE)
        assert [one.rule for one in execution.violations] == ["jit"]
        assert made.run("import ctypes\nprint(ctypes.CDLL(None).getpid() > 0)").stdout == "True\n"


FILES = "(rule: files; remedy: the policy grants no files; grant them, or hand data in as values or by files=)"
THREADS = "(rule: threads; remedy: the policy grants no threads; grant them, or do the work in one)"
# In the profile that only computes: code, its exception's text, what is on record
COMPUTES = [
    ("open('/etc/passwd')", "[Errno 1] " + REFUSED.format("open()") + ": /etc/passwd " + FILES + ": '/etc/passwd'", [("openat", "/etc/passwd", "files")]),
    ("os.rename('/etc/a', '/etc/b')", "[Errno 1] " + REFUSED.format("rename()") + ": /etc/a " + FILES + ": '/etc/a' -> '/etc/b'", [("rename", "/etc/a", "files")]),
    ("os.stat('/etc/passwd')", "[Errno 1] Operation not permitted: stat(): nothing grants /etc/passwd for reading " + FILES + ": '/etc/passwd'", []),
    ("threading.Thread(target=print).start()", "can't start new thread: " + REFUSED.format("starting a thread") + " " + THREADS, [("rt_sigaction", "", "threads")]),
    ("socket.gethostbyname('example.com')", "[Errno -4] " + REFUSED.format("socket.gethostbyname()") + ": example.com " + NETWORK + ": 'example.com'",
     [("connect", "example.com", "network")]),
    ("os.umask(os.umask(0o77))", None, []),
    ("os.path.exists('/etc/passwd')", None, []),
    ("[uuid.uuid1(), uuid.getnode()]", None, []),
]  # fmt: skip


def test_the_profile_that_only_computes_names_the_object_and_its_looks_are_probes():
    with belljar.Template(belljar.Policy(profile="compute"), preload=["platform", "socket", "threading", "uuid"]) as made:
        for code, text, records in COMPUTES:
            execution = made.run("import os, socket, threading, uuid\n" + code)
            assert (execution.error.value if execution.error else None) == text, code
            assert [(one.op, one.target, one.rule) for one in execution.violations] == records, code
            assert execution.verdict == ("violation" if records else "error" if text else "ok"), code
        machine = made.run("import os, platform, uuid\nprint(platform.release() == os.uname().release, platform.node())")
        assert machine.stdout == "True belljar\n"  # and not what the zygote saw, which imported uuid


def test_the_profile_that_only_computes_counts_its_processor_without_a_file():
    counts = "os.cpu_count(), os.sysconf('SC_NPROCESSORS_ONLN'), os.sysconf('SC_NPROCESSORS_CONF')"
    with belljar.Template(belljar.Policy(profile="compute")) as made:
        counted = made.run("import os\nprint(" + counts + ", os.sysconf('SC_PAGESIZE') == 4096)")
        assert (counted.stdout, counted.violations, counted.probes) == ("1 1 1 True\n", [], 0)
        for path in ("/proc/stat", "/sys/devices/system/cpu/online"):  # what libc would read: the program's own look is on record
            opened = made.run(f"open('{path}')")
            assert opened.verdict == "violation" and [(one.op, one.target, one.rule) for one in opened.violations] == [
                ("openat", path, "files")
            ]
    with belljar.Template(belljar.Policy()) as made:  # and where there are files, libc reads the guest's
        counted = made.run("import os\nprint(" + counts + ", open('/sys/devices/system/cpu/online').read())")
        assert (counted.stdout, counted.violations) == ("1 1 1 0\n\n", [])


UNRAISABLE = """
import json, sys
class Ends:
    def __del__(self): json.loads("x")
Ends()
try: json.loads("x")
except ValueError: sys.__excepthook__(*sys.exc_info())
json.loads("x")
"""


@pytest.mark.parametrize("python", [None, *OTHERS])
def test_tracebacks_in_the_profile_that_only_computes_look_for_no_sources(python):
    """The interpreter looks for each line's file in every folder of sys.path."""
    try:
        made = belljar.Template(belljar.Policy(profile="compute"), preload=["json"], python=python)
    except belljar.SandboxError as error:
        pytest.skip(f"the sandbox's user cannot use {python}: {error}")
    with made:
        execution = made.run(UNRAISABLE)
        assert (execution.verdict, execution.violations, execution.probes) == ("error", [], 0), execution
        assert "Exception ignored in: <function Ends.__del__" in execution.stderr and execution.stderr.count("in raw_decode") == 2
        parsed = made.run("for text in ('try: x', '('):\n    try: compile(text, '<text>', 'exec')\n    except SyntaxError: pass")
        assert (parsed.verdict, parsed.violations, parsed.probes) == ("ok", [], 0), parsed
        twin = made.run("import io\nio.open('/etc/passwd')")
        assert [(one.op, one.target) for one in twin.violations] == [("openat", "/etc/passwd")]


# What Python does, and the same by a system call: number and arguments
RAW = [
    ("open('/etc/shadow')", "257, -100, b'/etc/shadow', 0"),
    ("open('/etc/x', 'w')", "257, -100, b'/etc/x', 0o1101, 0o666"),
    ("open('/dev/sda')", "257, -100, b'/dev/sda', 0"),
    ("os.mkdir('/etc/x')", "83, b'/etc/x', 0o777"),
    ("os.remove('/etc/passwd')", "87, b'/etc/passwd'"),
    ("os.rename('/etc/passwd', '/tmp/x')", "82, b'/etc/passwd', b'/tmp/x'"),
    ("os.chown('/tmp', 0, 0)", "92, b'/tmp', 0, 0"),
    ("os.mkfifo('/tmp/x')", "259, -100, b'/tmp/x', 0o10666, 0"),
    ("os.execv('/bin/ls', ['ls'])", "59, b'/bin/ls', 1, 1"),
    ("os.system('ls')", "59, b'ls', 1, 1"),
    ("os.kill(1, 9)", "62, 1, 9"),
    ("os.setuid(0)", "105, 0"),
    ("socket.socket()", "41, 2, 1, 0"),
    ("socket.gethostbyname('x')", "42, -0x62656c, b'x', 1"),
    ("os.memfd_create('x')", "319, b'x', 0"),
    ("os.pidfd_open(1)", "434, 1, 0"),
    ("os.setxattr('/tmp', 'user.a', b'')", "188, b'/tmp', b'user.a', b'', 0, 0"),
]


@pytest.mark.parametrize("code, call", RAW, ids=[row[0] for row in RAW])
def test_by_a_native_call_the_record_is_the_same(template, code, call):
    records = []
    for tried in (code, f"ctypes.CDLL(None).syscall({call})"):
        execution = template.run(SETUP + f"import ctypes\ntry: {tried}\nexcept OSError: pass")
        records.append([(one.op, one.target, one.rule, one.hint) for one in execution.violations])
    assert records[0] == records[1] and len(records[0]) == 1


@pytest.mark.parametrize("make", ["socket.socketpair()", "os.pipe()", "os.eventfd(0)"])
def test_more_pipes_than_may_be_held_are_refused_and_no_limit_is_named_that_does_not_help(make):
    code = f"""
import os, socket
def fill():
    held = []
    try:
        while True: held.append({make})
    except OSError as error: print(error)
    return held
for _ in range(2): held = fill(); [os.close(one) if type(one) is int else None for several in held for one in (several if type(several) is tuple else [several])]; del held
"""
    with belljar.Template(belljar.Policy(descriptors=1000)) as template:
        execution = template.run(code)
    words = (
        f"[Errno 24] belljar: {make.split('.')[1].split('(')[0]}() is refused: 16 MiB for sockets and pipes "
        "(rule: limits; remedy: close what is not needed: as many are held as a guest may have)\n"
    )
    assert execution.stdout.replace("pipe2()", "pipe()").replace("eventfd2()", "eventfd()") == words * 2
    assert {(one.target, one.rule) for one in execution.violations} == {("16 MiB for sockets and pipes", "limits")}
