"""The most elements that one value may have, in the smallest containers."""
exec(open("/work/say.py").read())
answer(head(4, 4000000) + b"\xa0" * 4000000)
time.sleep(3)
