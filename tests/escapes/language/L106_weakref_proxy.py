"""L106 weak references to what the policy hands over

kind: namespace
expect: ImportError
"""

import weakref
reached = weakref.getweakrefs
