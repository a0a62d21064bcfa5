"""A thread that stays asks the supervisor between two runs, as fast as it can."""
def ask():
    time.sleep(0.2)
    while True: os.path.exists("/work/none")
for _ in range(4): native_thread(ask)
# ==== idle 3
# ==== next run
1
