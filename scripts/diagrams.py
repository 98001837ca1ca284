"""Draw the diagrams of the documentation: SVG in a light and a dark coat, the same at every run."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

IMAGES = Path(__file__).parents[1] / "docs" / "images"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coat:
    """The colours of one page background."""

    name: str
    page: str
    ink: str
    faint: str
    box: str
    good: str
    money: str
    bad: str
    on_colour: str


LIGHT = Coat(
    name="light",
    page="#ffffff",
    ink="#1f2328",
    faint="#59636e",
    box="#f6f8fa",
    good="#1a7f37",
    money="#9a6700",
    bad="#cf222e",
    on_colour="#ffffff",
)
DARK = Coat(
    name="dark",
    page="#0d1117",
    ink="#e6edf3",
    faint="#9198a1",
    box="#161b22",
    good="#3fb950",
    money="#d29922",
    bad="#f85149",
    on_colour="#0d1117",
)

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


class Drawing:
    """Collects shapes; knows what an arrow and a box look like."""

    def __init__(self, width: int, height: int, coat: Coat, title: str) -> None:
        self._coat = coat
        size = f'width="{width}" height="{height}" role="img" font-family="{_FONT}"'
        self._shapes = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {size}>',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" rx="8" fill="{coat.page}"/>',
        ]

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: int = 14,
        colour: str = "",
        bold: bool = False,
        anchor: str = "middle",
    ) -> None:
        """Write one line."""
        weight = ' font-weight="600"' if bold else ""
        self._shapes.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"{weight} '
            f'fill="{colour or self._coat.ink}">{escape(words)}</text>'
        )

    def box(
        self,
        corner: tuple[float, float],
        size: tuple[float, float],
        lines: list[str],
        *,
        colour: str = "",
        filled: bool = False,
    ) -> None:
        """Draw a box whose first line is its name."""
        (x, y), (width, height) = corner, size
        coat = self._coat
        edge = colour or coat.faint
        self._shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" '
            f'fill="{edge if filled else coat.box}" stroke="{edge}" stroke-width="1.5"/>'
        )
        top = y + height / 2 - 10 * (len(lines) - 1) + 5
        for number, line in enumerate(lines):
            ink = coat.on_colour if filled else (coat.faint if number else coat.ink)
            self.text(
                x + width / 2,
                top + 20 * number,
                line,
                size=13 if number else 15,
                colour=ink,
                bold=not number,
            )

    def arrow(
        self, *points: tuple[float, float], colour: str = "", words: str = "", dashed: bool = False
    ) -> None:
        """Draw a line through points with a head at its end, and words above its first piece."""
        ink = colour or self._coat.faint
        path = " ".join(f"{'ML'[bool(i)]}{x:g} {y:g}" for i, (x, y) in enumerate(points))
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self._shapes.append(
            f'<path d="{path}" fill="none" stroke="{ink}" stroke-width="1.8"{dashes}/>'
        )
        self._head(points[-2], points[-1], ink)
        if words:
            (x1, y1), (x2, _) = points[0], points[1]
            self.text((x1 + x2) / 2, y1 - 8, words, size=13, colour=ink)

    def _head(self, before: tuple[float, float], tip: tuple[float, float], ink: str) -> None:
        (x0, y0), (x, y) = before, tip
        length = max(abs(x - x0), abs(y - y0)) or 1.0
        dx, dy = 9 * (x - x0) / length, 9 * (y - y0) / length
        side = (-dy / 2, dx / 2)
        self._shapes.append(
            f'<path d="M{x:g} {y:g} L{x - dx + side[0]:g} {y - dy + side[1]:g} '
            f'L{x - dx - side[0]:g} {y - dy - side[1]:g} Z" fill="{ink}"/>'
        )

    def dot(self, x: float, y: float, colour: str) -> None:
        """Draw a stop on a line of time."""
        self._shapes.append(f'<circle cx="{x:g}" cy="{y:g}" r="6" fill="{colour}"/>')

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
        """Draw a plain thick line."""
        (x1, y1), (x2, y2) = start, end
        self._shapes.append(
            f'<path d="M{x1:g} {y1:g} L{x2:g} {y2:g}" stroke="{colour}" stroke-width="3"/>'
        )

    def svg(self) -> str:
        """Return the picture."""
        return "\n".join([*self._shapes, "</svg>", ""])


def draw_flow(coat: Coat) -> str:
    """Draw how a text gets its vector while it can be found the whole time."""
    drawing = Drawing(
        880, 300, coat, "Texts are saved and found at once; vectors follow at half the price."
    )
    drawing.box((20, 24), (190, 120), ["Your program", "LlamaIndex, LangChain", "or plain Python"])
    drawing.box(
        (335, 24),
        (220, 120),
        ["One SQLite file", "texts and keywords: at once", "vectors: as they arrive"],
        colour=coat.good,
    )
    drawing.box(
        (680, 24),
        (180, 120),
        ["Gemini Batch API", "half the price", "takes up to 24 hours"],
        colour=coat.money,
    )
    drawing.arrow((210, 62), (335, 62), words="ingest")
    drawing.arrow((335, 112), (210, 112), words="search", colour=coat.good)
    drawing.arrow((555, 62), (680, 62), words="flush: one job", colour=coat.money)
    drawing.arrow((680, 112), (555, 112), words="sync: vectors", colour=coat.good)
    y = 220
    drawing.line((90, y), (610, y), coat.faint)
    drawing.line((610, y), (860, y), coat.good)
    stops = [
        (90, coat.faint, "ingest", ("saved in a moment,", "found by keyword")),
        (300, coat.money, "flush", ("what waits is sent,", "each text once")),
        (610, coat.good, "sync", ("each vector is put to", "its exact text")),
        (790, coat.good, "search", ("found by meaning", "and by keyword")),
    ]
    for x, colour, name, words in stops:
        drawing.dot(x, y, colour)
        drawing.text(x, y - 16, name, bold=True)
        for number, line in enumerate(words):
            drawing.text(x, y + 30 + 19 * number, line, size=13, colour=coat.faint)
    drawing.text(455, y - 16, "hours, and your program is free", size=13, colour=coat.faint)
    return drawing.svg()


def draw_states(coat: Coat) -> str:
    """Draw the steps of a batch job, where money is at stake, and how it can end."""
    drawing = Drawing(1080, 450, coat, "The steps of a batch job, and the ways it can end.")
    drawing.text(20, 32, "CREATED", bold=True, anchor="start")
    drawing.text(20, 54, "nothing can be billed yet", size=13, colour=coat.faint, anchor="start")
    drawing.text(320, 32, "CREATED", bold=True, anchor="start")
    drawing.text(
        320, 54, "from here on money is at stake", size=13, colour=coat.money, anchor="start"
    )
    drawing.text(590, 32, "SUBMITTED, PROCESSING", bold=True, anchor="start")
    drawing.text(845, 32, "COMPLETED", bold=True, colour=coat.good, anchor="start")
    steps = [
        (20, 115, "claimed", "texts are its own", ""),
        (165, 115, "uploaded", "file at Google", ""),
        (320, 130, "creating", "the call, once", coat.money),
        (515, 130, "submitted", "Google's id kept", coat.money),
        (675, 130, "fetched", "results on disk", coat.money),
        (845, 110, "applied", "vectors stored", coat.good),
        (975, 85, "cleaned", "files gone", coat.good),
    ]
    for x, width, name, words, colour in steps:
        drawing.box((x, 74), (width, 64), [name, words], colour=colour)
    for (x, width, *_), (after, *_) in pairwise(steps):
        drawing.arrow((x + width, 106), (after, 106))
    # What is surely not billed ends at once.
    drawing.box(
        (20, 320),
        (430, 64),
        ["FAILED, its texts wait again", "at no cost: abandoned, refused, or never at Google"],
    )
    drawing.arrow((78, 138), (78, 320))
    drawing.arrow((222, 138), (222, 320))
    drawing.text(86, 236, "process stopped", size=13, colour=coat.faint, anchor="start")
    drawing.arrow((345, 138), (345, 320))
    drawing.text(353, 286, "refused, or missing from", size=13, colour=coat.faint, anchor="start")
    drawing.text(353, 304, "three complete listings", size=13, colour=coat.faint, anchor="start")
    # What nobody knows is looked for by name.
    drawing.arrow((420, 138), (420, 178), (550, 178), (550, 138), colour=coat.money)
    drawing.text(420, 198, "no answer: found by its", size=13, colour=coat.money, anchor="start")
    drawing.text(420, 216, "name, and adopted", size=13, colour=coat.money, anchor="start")
    drawing.box(
        (520, 320), (250, 64), ["FAILED, its texts wait again", "failed, expired or cancelled"]
    )
    drawing.arrow((610, 138), (610, 320))
    drawing.box(
        (800, 236), (260, 64), ["held", "lost, damaged, expired, cancelled"], colour=coat.bad
    )
    drawing.arrow((725, 138), (725, 268), (800, 268), colour=coat.bad)
    drawing.text(735, 200, "in doubt", size=13, colour=coat.bad, anchor="start")
    drawing.arrow((930, 300), (930, 352), (770, 352), colour=coat.bad)
    drawing.text(940, 345, "released by a", size=13, colour=coat.bad, anchor="start")
    drawing.text(940, 363, "person, on purpose", size=13, colour=coat.bad, anchor="start")
    drawing.text(
        540,
        425,
        "A held job keeps its texts: nothing is sent a second time before a person says so.",
        colour=coat.faint,
    )
    return drawing.svg()


def pictures() -> dict[str, str]:
    """Return every picture by its file name."""
    drawn = {"flow": draw_flow, "states": draw_states}
    return {
        f"{name}-{coat.name}.svg": draw(coat)
        for name, draw in drawn.items()
        for coat in (LIGHT, DARK)
    }


if __name__ == "__main__":
    IMAGES.mkdir(parents=True, exist_ok=True)
    for file_name, picture in pictures().items():
        (IMAGES / file_name).write_text(picture, encoding="utf-8")
