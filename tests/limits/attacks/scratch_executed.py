"""A file of scratch, mapped to be executed, where code made at run time is not permitted."""
with open("/work/code", "wb") as file: file.write(b"\xb8\x39\x30\x00\x00\xc3" + bytes(4090))
with open("/work/code", "rb") as file:
    try:
        at = take(4096, READ | EXEC, PRIVATE, file.fileno())
        print("REACHED", hex(_c.CFUNCTYPE(_c.c_int)(at)()))
    except (MemoryError, OSError) as problem:
        print("refused", problem)
