"""What Python does in the zygote and in a guest.

The build makes one text of these modules and of belljar._shared (scripts/bundle-guest), which reaches the zygote as one
descriptor. The importer at its beginning (_importer.py) keeps them out of sys.modules, where a program would meet them, and
compiles each when something of it is first wanted: a cold run of a program without an error does with four of them.

In a guest all of this is in the hands of the untrusted code, like everything else in its process: nothing here is a wall. It
imports as little as it can: the interpreter's start is most of what a cold run costs, and what is not imported here is not
there to be found by a program that expects a fresh interpreter.
"""
