"""L050 except* with a hostile ExceptionGroup.split

kind: crash
expect: SandboxError
control: any
"""

class Group(ExceptionGroup):
    def split(self, condition):
        return ("not", "groups")
try:
    raise Group("g", [ValueError()])
except* ValueError:
    pass
