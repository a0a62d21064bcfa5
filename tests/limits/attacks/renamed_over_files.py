"""An open file that another is renamed over has lost its name as well."""
kept, done, block = [], 0, bytes(MIB)
try:
    for number in range(100):
        file = open("/work/new", "wb", 0)
        for _ in range(4): done += file.write(block)
        os.rename("/work/new", "/work/name")
        kept.append(file)
except OSError as problem:
    print("refused", problem)
print(done)
time.sleep(0.3)
