"""L086 codecs.register and codecs.open

kind: namespace
expect: AttributeError
features: codecs
"""

import codecs
reached = codecs.register, codecs.open
