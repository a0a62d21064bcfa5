import regex

print(regex.findall(r"\p{Lu}\w+", "Ärger und Bär"), regex.search(r"(?:cats){e<=1}", "cat").group())
