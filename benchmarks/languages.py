"""How well keyword search finds manual pages in Russian, German, Japanese and Chinese.

    python benchmarks/languages.py [FOLDER]

The folder is where Debian's packages of manual pages are unpacked; without one they are fetched
with ``apt-get download`` and forgotten afterwards. A question is the line that the NAME section
has for a page, without the name. That section and the title are cut from what is searched. Each
language is compared with English on the same pages, and with what SQLite's own tokenizer finds.
Recall@10 is the share of questions whose page is among those of the first ten hits. "Rate" is how
many characters are ingested in a second of CPU, beside English in the same run. Ends with an error
where a language has less than 0.8 of the recall of English.
"""

from __future__ import annotations

import gzip
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from semantic_core import Document, PeeweeVectorStore, SemanticCore
from shared import machine

ENGLISH = ("manpages", "manpages-dev", "coreutils")
# Where a package has its pages, and the languages of words in Latin letters.
LANGUAGES = {
    "ru": ("manpages-ru", "ru", ["en"]),
    "de": ("manpages-de", "de", ["de", "en"]),
    "ja": ("manpages-ja", "ja", ["en"]),
    "zh": ("manpages-zh", "zh_CN", ["en"]),
}
LIMIT = 10
FLOOR = 0.8

_FONT = re.compile(r"\\f(?:\[[^]]*\]|\(..|.)|\\s[-+]?\d|\\[&,/%:|^c]|\\\n")
_GLYPH = re.compile(r"\\(?:\(..|\[[^]]*\]|\*(?:\(..|\[[^]]*\]|.)|(.))")
# Macros whose arguments are text; those of the second kind are set without spaces between.
_SPOKEN = re.compile("[BI]|S[BMSs]|N[dm]|IP|Em|Ar|Fl|Cm|Li|Pa|Va|It|Xr|Dq|Sq|Op")
_JOINED = re.compile("[BIR][BIR]")


class Page(NamedTuple):
    """The line of the NAME section without the name, and the text below."""

    question: str
    text: str


def main() -> None:
    """Print one line a language, and keep them."""
    if len(sys.argv) > 1:
        _measure(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        names = [*ENGLISH, *(package for package, _, _ in LANGUAGES.values())]
        subprocess.run(["apt-get", "download", "-q", *names], cwd=scratch, check=True)
        for archive in Path(scratch).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", archive.name, "pages"], cwd=scratch, check=True)
        _measure(Path(scratch, "pages"))


def _measure(folder: Path) -> None:
    english = _pages(folder, "")
    rows: dict[str, Any] = {}
    print("pages in both  recall@10: SQLite's own  semcore  English, the same pages   share   rate")
    for name, (_, place, languages) in LANGUAGES.items():
        pages = _pages(folder, place)
        # One page may have several names: the first counts.
        named = {english[key].question: key for key in sorted(english.keys() & pages.keys())[::-1]}
        both = sorted({pages[key].question: key for key in named.values()}.values())
        before, after, rate = _recall({key: pages[key] for key in both}, languages)
        _, same, english_rate = _recall({key: english[key] for key in both}, ["en"])
        share, rate = after / same, rate / english_rate
        rows[name] = {"pages": len(both), "sqlite": before, "semcore": after, "english": same}
        rows[name]["rate"] = round(rate, 2)
        print(
            f"{name} {len(both):10,} {before:24.3f} {after:8.3f} {same:24.3f} {share:7.2f} {rate:6.2f}"
        )
    machine.keep("languages", {"machine": machine.describe(), "rows": rows})
    short = [name for name, row in rows.items() if row["semcore"] < FLOOR * row["english"]]
    if short:
        sys.exit(f"Below {FLOOR} of English: {', '.join(short)}")


def _recall(pages: dict[str, Page], languages: list[str]) -> tuple[float, float, float]:
    """Return the share of pages that are found, by SQLite's own tokenizer and by semcore.

    And how many characters are ingested in a second of CPU.
    """
    plain = sqlite3.connect(":memory:")
    plain.execute(
        "CREATE VIRTUAL TABLE f USING fts5(name UNINDEXED, text, "
        "tokenize = 'porter unicode61 remove_diacritics 2')"
    )
    with tempfile.TemporaryDirectory() as scratch, PeeweeVectorStore(f"{scratch}/a.db") as store:
        core = SemanticCore(store, languages=languages)
        started = time.process_time()
        core.ingest(Document(id=name, content=page.text) for name, page in pages.items())
        rate = sum(len(page.text) for page in pages.values()) / (time.process_time() - started)
        plain.executemany(
            "INSERT INTO f VALUES (?, ?)", ((hit.document_id, hit.text) for hit in store.chunks())
        )
        before, after = [], []
        for name, page in pages.items():
            words = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", page.question))
            rows = plain.execute("SELECT name FROM f(?) ORDER BY rank LIMIT ?", (words, LIMIT))
            before.append((name,) in rows.fetchall())
            hits = core.search(page.question, LIMIT, mode="keyword")
            after.append(name in {hit.chunk.document_id for hit in hits})
    return statistics.fmean(before), statistics.fmean(after), rate


def _pages(folder: Path, place: str) -> dict[str, Page]:
    """Return the pages of a language by name and section."""
    root = next(folder.glob("**/usr/share/man" if not place else f"**/usr/share/man/{place}"))
    found: dict[str, Page] = {}
    for path in sorted(root.glob("man*/*.gz")):
        page = _read(gzip.decompress(path.read_bytes()).decode(errors="replace"))
        if page is not None:
            found[path.name] = page
    return found


def _read(roff: str) -> Page | None:
    """Return a page, or None for one that only leads to another or has no such line."""
    sections = re.split(r"^\.S[Hh]\b.*\n", roff, flags=re.MULTILINE)
    if len(sections) < 3:
        return None
    line = " ".join(_lines(sections[1]))
    _, dash, question = re.sub(r"\s+", " ", line).partition(" - ")
    text = "\n".join(_lines("\n".join(sections[2:])))
    return Page(question.strip(), text) if dash and question.strip() and len(text) > 200 else None


def _lines(roff: str) -> Iterator[str]:
    """Yield the text of a page without its markup."""
    for line in roff.split("\n"):
        macro, rest = "", line
        if line[:1] in (".", "'"):
            macro, _, rest = line[1:].strip().partition(" ")
            if macro in ("PP", "LP", "P", "Pp", "sp", "TP"):
                yield ""
                continue
            if not (_SPOKEN.fullmatch(macro) or _JOINED.fullmatch(macro)):
                continue
            words = re.findall(r'"([^"]*)"|(\S+)', rest)
            rest = ("" if _JOINED.fullmatch(macro) else " ").join(a or b for a, b in words)
            if macro == "Nd":
                rest = f" - {rest}"
        if text := _GLYPH.sub(_glyph, _FONT.sub("", rest)).strip():
            yield text


def _glyph(match: re.Match[str]) -> str:
    character = match[1] or " "
    return {"e": "\\", "~": " ", "t": " ", '"': ""}.get(character, character)


if __name__ == "__main__":
    main()
