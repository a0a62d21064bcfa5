"""L049 throw() into an iterator that the guest did not make

kind: mutation
expect: AttributeError
features: regex
control: error
"""

import re
reached = re.finditer("a", "a").throw
