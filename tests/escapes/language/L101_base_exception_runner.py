"""L101 an exception that is not an Exception

kind: mutation
expect: GeneratorExit
control: any
"""

raise GeneratorExit("out")
