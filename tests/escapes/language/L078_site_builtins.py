"""L078 license and help objects of site read files

kind: namespace
expect: nothing
control: any
"""

reached = getattr(license, "_Printer__filenames", None)
