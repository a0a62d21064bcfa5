"""L140 endless loop

kind: dos
expect: stopped
control: none
"""

while True:
    pass
