"""L087 str.encode imports encodings.<name>

kind: namespace
expect: LookupError
"""

reached = "x".encode("idna")
