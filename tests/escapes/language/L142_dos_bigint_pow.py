"""L142 one huge power

kind: dos
expect: stopped
control: none
"""

7 ** (10 ** 9)
