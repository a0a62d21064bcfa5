"""L085 warnings filters and showwarning

kind: mutation
expect: AttributeError or SandboxError
"""

import warnings
warnings.showwarning = print
reached = warnings.filters
