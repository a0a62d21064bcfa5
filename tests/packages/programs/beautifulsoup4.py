from bs4 import BeautifulSoup

for parser in ("html.parser", "lxml"):
    soup = BeautifulSoup("<ul><li class=a>1<li>2</ul><a href='/x'>l</a>", parser)
    print(parser, [item.get_text() for item in soup.select("li")], soup.a["href"], soup.find(class_="a").text)
