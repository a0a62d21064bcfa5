"""L149 refuses to leave

kind: dos
expect: stopped
control: none
"""

try:
    1 / 0
finally:
    while True:
        pass
