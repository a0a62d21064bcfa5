"""Threads that a run leaves behind compute for as long as the session is idle, without the interpreter's lock."""
import hashlib
def spin():
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 10**9)
for _ in range(4): native_thread(spin)
# ==== idle 4
# ==== next run
1
