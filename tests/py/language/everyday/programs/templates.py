"""A template engine, with % and format() and string.Template beside it."""
import html
import string
import textwrap

PAGE = string.Template("<h1>$title</h1>\n<ul>\n$items\n</ul>")


class Safe(str):
    pass


def escape(value):
    return value if isinstance(value, Safe) else Safe(html.escape(str(value)))


def render(title, rows):
    items = "\n".join("<li>%s: %5.2f</li>" % (escape(name), price) for name, price in rows)
    return PAGE.substitute(title=escape(title), items=Safe(items))


print(render("Fish & Chips", [("cod", 3.5), ("<b>", 10)]))
print("{0:>8}|{1:<6}|{name!r:^10}".format("right", 3, name="mid"))
print(textwrap.fill("words " * 12, width=30, initial_indent="* ", subsequent_indent="  "))
try:
    PAGE.substitute(title="x")
except KeyError as error:
    print("missing", error)
