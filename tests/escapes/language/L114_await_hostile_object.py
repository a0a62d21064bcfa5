"""L114 __await__ called by somebody else's loop

kind: mutation
expect: ImportError
"""

import asyncio
reached = asyncio
