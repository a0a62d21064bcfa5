"""L081 sys.stdout.buffer.raw gives FileIO

kind: namespace
expect: AttributeError
features: stdout
control: any
"""

import sys
reached = sys.stdout.buffer.raw
