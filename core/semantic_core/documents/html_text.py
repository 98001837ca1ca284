import re
from html.parser import HTMLParser

_DROPPED = frozenset(("script", "style", "template"))
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
# The content of one of these is its own paragraph; everything else continues the line.
_BLOCKS = frozenset(
    """address article aside blockquote body br caption center dd details dialog div dl dt fieldset
    figcaption figure footer form header hgroup hr iframe legend li main menu nav noscript object
    ol optgroup option p search section select summary table textarea title tr ul
    video""".split()  # noqa: SIM905  # a line for each would be a page of tags
)
# Not part of the words beside it, though in the same line.
_APART = frozenset(("button", "input", "label", "meter", "output", "td", "th"))
_PICTURES = frozenset(("area", "img"))

# At the beginning of a block, Markdown would take these for its own: the group is to be kept
# before the backslash that says no.
_STRUCTURE = re.compile(
    r"(\d{1,9}(?=[.)](?: |$)))"  # a numbered item
    r"|(?=(?:\#{1,6}|[-+*])(?: |$)"  # a heading, an item
    r"|[>]|<[A-Za-z/!?]|```|~~~|\[[^\]]*\]:"  # a quotation, HTML, code, the target of a link
    r"|=+$|([-*_])(?: ?\2){2,}$)"  # an underline, a rule
)
_CLOSING = re.compile(r"(?:(?<= )|^)(?=#+$)")
_TICKS = re.compile("`+")


def html_to_markdown(html: str) -> str:
    """Return headings as Markdown headings, preformatted text fenced, scripts and styles gone.

    Any input gives a text: what is not proper HTML is taken as browsers take it. What only looks
    like a heading, an item or code of Markdown's is escaped; emphasis and the like are not, since
    nothing here reads them. The ``alt`` text of an image takes its place.
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
        self._is_after_link = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED:
            self._dropping += 1
        elif tag in _PICTURES:
            if text := dict(attrs).get("alt"):
                self._put_apart(text)
        elif tag in _APART:
            self._put_apart(dict(attrs).get("alt") or "")
        elif tag == "a" and self._is_after_link:
            self._put_apart()
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
        elif tag in _APART:
            self._put_apart()
        elif tag == "a":
            self._is_after_link = True
        elif tag == "pre" or ((tag in _HEADINGS or tag in _BLOCKS) and not self._is_preformatted):
            self.end_block()
            self._mark = ""

    def handle_data(self, data: str) -> None:
        if not self._dropping:
            self._texts.append(data)
            self._is_after_link = False

    def _put_apart(self, text: str = "") -> None:
        if not self._dropping:
            self._texts.append(f" {text} " if text else " ")

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
            # Longer than any in the text, which would end the block before its end.
            fence = "`" * max(3, 1 + max(map(len, _TICKS.findall(text)), default=0))
            block = f"{fence}\n" + text.strip("\n") + f"\n{fence}" if text.strip() else ""
        else:
            words = " ".join(text.split())
            block = self._mark + _escaped(words, self._mark) if words else ""
        if block:
            self.blocks.append(block)
            self._mark = ""


def _escaped(words: str, mark: str) -> str:
    if mark.startswith("#"):
        return _CLOSING.sub(r"\\", words, count=1)
    found = _STRUCTURE.match(words)
    return words if found is None else words[: found.end()] + "\\" + words[found.end() :]
