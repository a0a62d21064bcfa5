"""L023 dataclasses builds source text and executes it

kind: namespace
expect: ImportError
"""

import dataclasses
reached = dataclasses._process_class
