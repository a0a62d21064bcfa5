"""L146 catastrophic regular expression

kind: dos
expect: stopped
features: regex
control: none
"""

import re
re.match("(a+)+$", "a" * 60 + "b")
