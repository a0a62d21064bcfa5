from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
print(shell.run_cell("x = 6 * 7\nx").result, shell.run_cell("await __import__('asyncio').sleep(0, 5)").result)
