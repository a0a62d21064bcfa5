"""L151 output flood

kind: dos
expect: stopped
features: stdout
control: none
"""

while True:
    print("x" * 10000)
