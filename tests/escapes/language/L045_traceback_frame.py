"""L045 traceback frame walk

kind: namespace
expect: AttributeError
"""

try:
    1 / 0
except Exception as error:
    reached = error.__traceback__.tb_frame.f_globals
