"""L141 long C loop without bytecode

kind: dos
expect: stopped
control: none
"""

sum(range(10**15))
