"""L157 garbage with slow finalisers

kind: dos
expect: stopped
control: none
"""

class C:
    def __del__(self):
        while True:
            pass
made = C()
del made
