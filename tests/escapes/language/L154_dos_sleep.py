"""L154 sleeps for ever

kind: dos
expect: stopped
features: time
control: none
"""

import time
time.sleep(10 ** 6)
