"""A thread that stays writes between two runs: nobody asked it anything."""
def pour():
    time.sleep(0.2)
    block = b"x" * 65536
    while True:
        try: os.write(1, block)
        except OSError: time.sleep(0.01)
native_thread(pour)
# ==== idle 2
# ==== next run
1
