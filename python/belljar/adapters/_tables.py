"""Tables out of HTML that nobody trusts: tags of tables, text, and nothing else."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

__all__ = ["plain_table"]

_TAGS = frozenset({"table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption"})
_SPANS = frozenset({"colspan", "rowspan"})
_DROPPED = frozenset({"script", "style", "template", "noscript", "title", "textarea", "iframe", "svg", "math"})
_NUMBER = re.compile(r"[0-9]{1,4}")
_BYTES_MAX = 4 << 20


class _Tables(HTMLParser):
    """Writes anew what is in tables."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.open: list[str] = []
        self.dropped = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED:
            self.dropped += 1
        elif tag in _TAGS and not self.dropped and (self.open or tag == "table"):
            spans = "".join(f' {name}="{value}"' for name, value in attrs
                            if name in _SPANS and value is not None and _NUMBER.fullmatch(value))  # fmt: skip
            self.open.append(tag)
            self.parts.append(f"<{tag}{spans}>")

    def handle_endtag(self, tag: str) -> None:
        if tag in _DROPPED:
            self.dropped = max(0, self.dropped - 1)
        elif tag in self.open and not self.dropped:
            while (last := self.open.pop()) != tag:
                self.parts.append(f"</{last}>")
            self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self.open and not self.dropped:
            self.parts.append(html.escape(data))


def plain_table(text: str) -> str:
    """The tables of an HTML text, without attributes but for spans. Empty if there is none, or if it is very long."""
    if len(text) > _BYTES_MAX or "<table" not in text:
        return ""
    parser = _Tables()
    parser.feed(text)
    parser.close()
    return "".join(parser.parts) + "".join(f"</{tag}>" for tag in reversed(parser.open))
