"""Links that lead to links, 40 of them, each by an absolute path through folders."""
def ready():
    os.makedirs("/work/" + "d/" * 200)
    base = "/work/" + "d/" * 200
    for n in range(40):
        os.symlink(base + "../" * 100 + "d/" * 100 + f"l{n + 1}", base + f"l{n}")
def ask():
    try: os.stat("/work/" + "d/" * 200 + "l0")
    except OSError: pass
