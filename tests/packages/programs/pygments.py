from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

print(highlight("def f(): return 1", get_lexer_by_name("python"), HtmlFormatter()))
