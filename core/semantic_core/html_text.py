"""The text of an HTML page, as Markdown."""

from __future__ import annotations

from html.parser import HTMLParser

_DROPPED = frozenset(("script", "style", "template"))
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
# What stands in one of these is a paragraph of its own; everything else runs on in the line.
_BLOCKS = frozenset(
    """address article aside blockquote body br caption dd details div dl dt fieldset figcaption
    figure footer form header hr li main nav ol option p section select summary table title tr
    ul""".split()  # noqa: SIM905  # a line for each would be a page of tags
)


def html_to_markdown(html: str) -> str:
    """Return headings as Markdown headings, preformatted text fenced, scripts and styles gone.

    Any input gives a text: what is no proper HTML is taken as browsers take it.
    """
    page = _Page()
    page.feed(html)
    page.close()
    page.end_block()
    return "\n\n".join(page.blocks)


class _Page(HTMLParser):
    """Collects the blocks of a page: its paragraphs, headings, items and preformatted texts."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[str] = []
        self._texts: list[str] = []
        self._mark = ""
        self._dropping = 0
        self._is_preformatted = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002  # the parser's interface
        if tag in _DROPPED:
            self._dropping += 1
        elif tag in ("td", "th"):
            self._texts.append(" ")
        elif tag in _HEADINGS or tag in _BLOCKS or tag == "pre":
            if self._is_preformatted:
                self._texts.append("\n")
                return
            self.end_block()
            # A paragraph within an item or a heading takes its mark over.
            self._mark = _HEADINGS.get(tag, "- " if tag == "li" else self._mark)
            self._is_preformatted = tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if tag in _DROPPED:
            self._dropping = max(0, self._dropping - 1)
        elif tag == "pre" or ((tag in _HEADINGS or tag in _BLOCKS) and not self._is_preformatted):
            self.end_block()
            self._mark = ""

    def handle_data(self, data: str) -> None:
        if not self._dropping:
            self._texts.append(data)

    def parse_html_declaration(self, i: int) -> int:
        # The parser asserts that it knows the section; browsers take any as a comment.
        if self.rawdata.startswith("<![", i):
            return self.parse_bogus_comment(i)
        return super().parse_html_declaration(i)

    def end_block(self) -> None:
        """Finish the block that was being read, if there is anything in it."""
        text = "".join(self._texts)
        self._texts.clear()
        if self._is_preformatted:
            self._is_preformatted = False
            block = "```\n" + text.strip("\n") + "\n```" if text.strip() else ""
        else:
            words = " ".join(text.split())
            block = self._mark + words if words else ""
        if block:
            self.blocks.append(block)
            self._mark = ""
