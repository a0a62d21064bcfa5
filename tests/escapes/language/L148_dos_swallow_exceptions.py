"""L148 swallows every exception

kind: dos
expect: stopped
control: none
"""

while True:
    try:
        while True:
            pass
    except:
        pass
