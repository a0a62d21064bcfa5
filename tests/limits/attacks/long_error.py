"""An error with a text of many mebibytes, and a traceback as long."""
raise ValueError("x" * (30 << 20))
