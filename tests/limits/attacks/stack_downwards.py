"""The main stack grows by itself, and is no data either; a mapping that grows the same way is asked for as well."""
try:
    start = take(1 * MIB, READ | WRITE, PRIVATE | ANONYMOUS | GROWSDOWN)
    print("GOT a mapping that grows")
except MemoryError as problem:
    print("refused", problem)
here = _c.cast(_c.c_void_p.in_dll(_c.CDLL(None), "environ"), _c.c_void_p).value & -4096
for at in range(here - 200 * 1024, here - 1500 * MIB, -4096):
    _c.memset(at, 1, 1)
