"""A process that is stopped uses no CPU and answers nothing; its time goes on."""
import signal
os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(30)
