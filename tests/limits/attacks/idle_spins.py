"""A thread that a run leaves behind spins for as long as the session is idle."""
def spin():
    while True: pass
native_thread(spin); native_thread(spin)
# ==== idle 4
# ==== next run
1
