"""A link 900 folders deep that leads up and down again and ends in itself: each of 40 links walks 800 names."""
def ready():
    os.chdir("/work")
    for _ in range(400):
        os.mkdir("b"); os.chdir("b")
    os.symlink("b/../" * 780 + "l", "l")
    os.mkdir("b")
def ask():
    try: os.stat("l")
    except OSError: pass
