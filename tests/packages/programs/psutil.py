import os

import psutil

me = psutil.Process()
print(me.pid == os.getpid(), me.memory_info().rss > 1 << 20, me.name().startswith("python"), me.num_threads() >= 1)
print(psutil.virtual_memory().total > 1 << 20, psutil.cpu_count() >= 1, len(psutil.pids()) >= 1, psutil.pid_exists(os.getpid()))
print(psutil.cpu_times().user >= 0, me.cpu_times().user >= 0, psutil.boot_time() >= 0, me.is_running(), len(list(psutil.process_iter())) >= 0)
