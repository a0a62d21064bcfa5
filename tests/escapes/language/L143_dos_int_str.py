"""L143 quadratic conversion of numbers to text

kind: dos
expect: stopped or ValueError
control: none
"""

while True:
    str(10 ** 4000)
    int("9" * 4299)
