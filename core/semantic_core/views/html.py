"""Pieces of HTML that notebooks show. Everything that comes in is escaped here, and only here.

Text takes its colour from the page around it, and lines and surfaces are half transparent, so
that it looks right on light and on dark pages. Styles are set on the elements: a notebook that is
not trusted loses style sheets, and GitHub loses all styles, where the tables remain.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from html import escape

from semantic_core.views.wording import Excerpt, visible

_LINE = "1px solid rgba(128,128,128,.35)"
_TABLE = (
    "border-collapse:collapse;table-layout:auto;width:auto;max-width:100%;"
    "margin:.4em 0;border:0;font-size:inherit;color:inherit"
)
_CELL = (
    "vertical-align:top;padding:.25em 1.2em .25em 0;border:0;background:transparent;"
    f"color:inherit;border-bottom:{_LINE};max-width:none"
)
_DOT = "display:inline-block;width:.65em;height:.65em;border-radius:50%;margin-right:.4em"


class Tone(StrEnum):
    """What a colour means; each has a contrast of at least 3:1 against white and against black."""

    GOOD = "#2a9d5c"
    BUSY = "#3f83d6"
    WAITING = "#c77d0a"
    BAD = "#d9484a"
    FAINT = "#8a8f98"


class Html(str):
    """Text that is HTML already. Anything else is escaped."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Share:
    label: str
    count: int
    tone: Tone


def block(title: str, *parts: Html) -> str:
    head = f'<div style="font-weight:600;margin-bottom:.2em">{shown(title)}</div>'
    return (
        '<div class="semcore" style="color:inherit;font-size:13px;line-height:1.45;'
        f'overflow-x:auto;margin:.3em 0">{head}{"".join(parts)}</div>'
    )


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: str = "",
    caption: str | None = None,
) -> Html:
    """Return a table with headings; those in ``numbers``, separated by blanks, are aligned right.

    On a page, with a caption, each cell names its column: a narrow screen shows rows as cards.
    """
    right = [name in numbers.split() for name in columns]
    scope = "" if caption is None else ' scope="col"'
    head = "".join(
        f'<th{scope} style="{_CELL};{_side(is_right)};font-weight:600;white-space:nowrap">'
        f"{shown(name)}</th>"
        for name, is_right in zip(columns, right, strict=True)
    )
    labels = [
        "" if caption is None else f' data-label="{escape(visible(name))}"' for name in columns
    ]
    body = "".join(
        '<tr style="background:transparent">'
        + "".join(
            f'<td{label} style="{_CELL};{_side(is_right)}">{shown(value)}</td>'
            for value, is_right, label in zip(row, right, labels, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    title = "" if caption is None else f"<caption>{shown(caption)}</caption>"
    return Html(
        f'<table style="{_TABLE}">{title}<thead><tr style="background:transparent">{head}</tr>'
        f"</thead><tbody>{body}</tbody></table>"
    )


def facts(rows: Iterable[tuple[str, object]]) -> Html:
    """Return a table of names and values; a value that is None is left out."""
    body = "".join(
        f'<tr style="background:transparent"><th style="{_CELL};text-align:left;'
        f'font-weight:400;opacity:.75;white-space:nowrap">{shown(name)}</th>'
        f'<td style="{_CELL};text-align:left">{shown(value)}</td></tr>'
        for name, value in rows
        if value is not None
    )
    return Html(f'<table style="{_TABLE}"><tbody>{body}</tbody></table>')


def bar(shares: Sequence[Share]) -> Html:
    """Return a bar, with a legend that says the same in numbers. Empty shares are left out."""
    filled = [share for share in shares if share.count]
    total = sum(share.count for share in filled)
    parts = "".join(
        f'<div style="width:{100 * share.count / total:.2f}%;min-width:3px;background:{share.tone}"></div>'
        for share in filled
    )
    legend = "".join(
        f'<span style="margin-right:1.2em;white-space:nowrap">'
        f"{dot(f'{share.label} {share.count:,}', share.tone)}</span> "
        for share in shares
    )
    return Html(
        '<div style="display:flex;height:.6em;max-width:36em;border-radius:.3em;overflow:hidden;'
        f'background:rgba(128,128,128,.25);margin:.35em 0">{parts}</div>'
        f'<div style="margin:.2em 0">{legend}</div>'
    )


def dot(text: str, tone: Tone) -> Html:
    """Return text behind a coloured dot: the colour never says anything alone."""
    return Html(f'<span style="{_DOT};background:{tone}"></span>{shown(text)}')


def line(text: str) -> Html:
    return Html(f'<div style="margin:.2em 0">{shown(text)}</div>')


def warning(text: str, tone: Tone = Tone.WAITING) -> Html:
    return Html(
        f'<div style="border-left:.25em solid {tone};padding:.1em .7em;margin:.4em 0">'
        f"{shown(text)}</div>"
    )


def prose(text: str) -> Html:
    return Html(
        f'<div dir="auto" style="min-width:16em;max-width:60em;overflow-wrap:anywhere">'
        f"{shown(text)}</div>"
    )


def marked(part: Excerpt) -> Html:
    """Return a part of a text, the words that were asked in bold."""
    pieces = ((shown(piece), is_marked) for piece, is_marked in part.pieces())
    return prose(Html("".join(f"<b>{piece}</b>" if bold else piece for piece, bold in pieces)))


def picture(data: bytes, mime_type: str, *, name: str, side: int) -> Html:
    """Return a picture of at most so many pixels a side; nothing is fetched for it."""
    encoded = base64.b64encode(data).decode()
    return Html(
        f'<img src="data:{shown(mime_type)};base64,{encoded}" alt="{shown(name)}" '
        f'style="max-width:{side}px;max-height:{side}px;margin:.2em 0">'
    )


def code(text: str) -> Html:
    return Html(
        '<code style="display:inline-block;max-width:24em;overflow-wrap:break-word;padding:0;'
        f'background:transparent;color:inherit;font-size:.95em">{shown(text)}</code>'
    )


def _side(is_right: bool) -> str:  # noqa: FBT001  # the only argument
    return "text-align:right;font-variant-numeric:tabular-nums" if is_right else "text-align:left"


def shown(value: object) -> Html:
    """Return any value as HTML: what is not HTML already is escaped."""
    if isinstance(value, Html):
        return value
    return Html(escape(visible(f"{value:,}" if type(value) is int else str(value))))
