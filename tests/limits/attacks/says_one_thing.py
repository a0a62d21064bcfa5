import os; os.write(1, b"x")  # output at once, before the run is known to anybody, and then CPU
while True:
    pass
