"""2,000 names in one path, all there."""
def ready():
    os.chdir("/work")
    for _ in range(900):
        os.mkdir("b"); os.chdir("b")
    os.chdir("/work")
def ask():
    try: os.stat("/work/" + "b/" * 899 + "./" * 1100)
    except OSError: pass
