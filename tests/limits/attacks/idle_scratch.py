"""Files between two runs."""
def grow():
    time.sleep(0.3)
    block = bytes(MIB)
    for number in range(60):
        try:
            with open(f"/work/f{number}", "wb", 0) as file:
                for _ in range(4): file.write(block)
        except OSError: pass
    time.sleep(60)
native_thread(grow)
# ==== idle 2
# ==== next run
1
