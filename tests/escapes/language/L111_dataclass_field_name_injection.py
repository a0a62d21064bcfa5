"""L111 dataclass field names are pasted into source text

kind: namespace
expect: ImportError
"""

from dataclasses import make_dataclass
reached = make_dataclass
