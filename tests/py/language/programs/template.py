"""A template engine that compiles templates to Python source and runs it: loops, conditions, filters, inheritance."""

import re


class TemplateError(Exception):
    def __init__(self, text, line):
        super().__init__(f"{text} (line {line})")
        self.line = line


def escape(value):
    for old, new in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        value = str(value).replace(old, new)
    return value


class Source:
    def __init__(self):
        self.lines, self.depth = [], 0

    def add(self, line):
        self.lines.append("    " * self.depth + line)

    def __enter__(self):
        self.depth += 1
        return self

    def __exit__(self, kind, value, traceback):
        self.depth -= 1

    def __str__(self):
        return "\n".join(self.lines) + "\n"


class Template:
    filters = {"upper": str.upper, "escape": escape, "length": len, "title": lambda s: s.title()}

    def __init__(self, text, **context):
        self.context = dict(self.filters, **context)
        source = Source()
        source.add("def render(context, out):")
        with source:
            stack = []
            for number, part in enumerate(re.split(r"(?s)({{.*?}}|{%.*?%}|{#.*?#})", text)):
                if part.startswith("{{"):
                    source.add(f"out(str({self.expression(part[2:-2].strip())}))")
                elif part.startswith("{%"):
                    words = part[2:-2].split()
                    if words[0] == "for":
                        source.add(f"for {words[1]} in {self.expression(words[3])}:")
                        source.depth += 1
                        source.add(f"context = dict(context, {words[1]}={words[1]})")
                        stack.append("for")
                    elif words[0] == "if":
                        source.add(f"if {self.expression(' '.join(words[1:]))}:")
                        source.depth += 1
                        stack.append("if")
                    elif words[0] == "else":
                        source.depth -= 1
                        source.add("else:")
                        source.depth += 1
                    elif words[0].startswith("end"):
                        if not stack or stack.pop() != words[0][3:]:
                            raise TemplateError(f"mismatched {words[0]}", number)
                        source.depth -= 1
                elif not part.startswith("{#") and part:
                    source.add(f"out({part!r})")
            if stack:
                raise TemplateError(f"unclosed {stack[-1]}", number)
        self.source = str(source)
        namespace = {}
        exec(self.source, namespace)
        self.function = namespace["render"]

    def expression(self, text):
        if "|" in text:
            first, *rest = (part.strip() for part in text.split("|"))
            code = self.expression(first)
            for name in rest:
                code = f"context[{name!r}]({code})"
            return code
        if "." in text:
            first, *rest = text.split(".")
            code = self.expression(first)
            for name in rest:
                code = f"look({code}, {name!r})"
            return code.replace("look(", "context['look'](")
        return f"context[{text!r}]"

    def render(self, **context):
        parts = []
        self.function(dict(self.context, look=self.look, **context), parts.append)
        return "".join(parts)

    @staticmethod
    def look(value, name):
        try:
            value = getattr(value, name)
        except AttributeError:
            value = value[name] if not name.isdigit() else value[int(name)]
        return value() if callable(value) else value


class Person:
    def __init__(self, name, **more):
        self.name = name
        self.__dict__.update(more)

    def greeting(self):
        return "Hello, {0.name}! You are {age:>3d} {unit}.".format(self, age=self.age, unit="years")


page = Template("""<h1>{{ heading|title|escape }}</h1>
{# people #}{% for person in people %}{% if person.age %}
 <li>{{ person.name|upper }}: {{ person.greeting }} {{ person.tags.0 }}</li>{% else %}
 <li>{{ person.name }} is ageless</li>{% endif %}{% endfor %}
{{ people|length }} people
""")
people = [Person("Ada", age=36, tags=["maths"]), Person("<Bob>", age=0, tags=[]), Person("Eve", age=7, tags=("a", "b"))]
print(page.render(heading="a & b <list>", people=people))
for broken in ("{% for x in y %}", "{% if a %}{% endfor %}"):
    try:
        Template(broken)
    except TemplateError as error:
        print(type(error).__name__, error, error.line)
print("%-10s|%5.2f|%s" % ("left", 3.14159, vars(people[0])["tags"]))
print(f"{'nested':{'>'}{10}}|{3.14159:.{2}f}|{people[1].name!r}")
