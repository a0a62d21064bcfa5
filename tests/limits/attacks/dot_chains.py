"""A path of '..' and back, as long as a path may be, from deep below."""
def ready():
    os.chdir("/work")
    for _ in range(600):
        os.mkdir("b"); os.chdir("b")
    os.mkdir("b")
def ask():
    try: os.stat("b/../" * 815 + "x")
    except OSError: pass
