"""Reading HTML as a browser would, to see what of it is text and what is markup."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_EMPTY = {"br", "img", "meta"}


@dataclass
class Page:
    """What stands in a piece of HTML.

    Attributes:
        texts: every run of text, unescaped; what is bold is a part of the text around it.
        tags: every tag.
        attributes: every attribute's name.
    """

    texts: list[str] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)

    @property
    def text(self) -> str:
        """All text, each run on a line."""
        return "\n".join(self.texts)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.open: list[str] = []
        self.goes_on = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.goes_on = tag == "b" and self.goes_on
        self.page.tags.add(tag)
        self.page.attributes |= {name for name, _ in attrs}
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.goes_on = tag == "b"

    def handle_data(self, data: str) -> None:
        if self.goes_on:
            self.page.texts[-1] += data
        else:
            self.page.texts.append(data)
        self.goes_on = True


def read_html(html: str) -> Page:
    """Read HTML; whatever is opened has to be closed, in order."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader.page
