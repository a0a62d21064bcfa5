"""L088 the compressor codecs as a memory bomb

kind: dos
expect: LookupError or ImportError
features: codecs encodings
"""

import codecs
reached = codecs.encode(b"x", "zlib")
