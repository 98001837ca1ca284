"""Runs of one script: where a word ends, and what of it is indexed where no spaces tell."""

import re
import unicodedata

# Han, Bopomofo and Kana are written as one text, so they are one script here.
_HAN_AND_KANA = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u302f\u3031-\u303c\u3041-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00016fe0-\U00018cff\U0001aff0-\U0001b2ff"
    "\U00020000-\U0003ffff"
)
_HANGUL = "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"
_THAI, _LAO = "\u0e00-\u0e7f", "\u0e80-\u0eff"
_BURMESE = "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"
_KHMER = "\u1780-\u17ff\u19e0-\u19ff"
_UNSPACED = (_HAN_AND_KANA, _HANGUL, _THAI, _LAO, _BURMESE, _KHMER)

# Scripts with spaces that stand next to Latin letters and digits without one. What is in none of
# these stays together with its neighbours, Latin among them.
_SPACED = (
    "\u0370-\u03ff\u1f00-\u1fff",  # Greek
    "\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff\ua640-\ua69f",  # Cyrillic
    "\u0530-\u058f",  # Armenian
    "\u0590-\u05ff",  # Hebrew
    "\u0600-\u06ff\u0750-\u077f\u0870-\u08ff",  # Arabic
    "\u0900-\u097f\ua8e0-\ua8ff",  # Devanagari
    *(f"{chr(start)}-{chr(start + 0x7F)}" for start in range(0x980, 0xE00, 0x80)),  # other Indic
)
_OTHERS = "".join((*_UNSPACED, *_SPACED))
_RUN = re.compile(
    "|".join(f"[{script}]+" for script in (*_UNSPACED, *_SPACED)) + f"|[^ {_OTHERS}]+"
)
_IS_UNSPACED = re.compile(f"[{''.join(_UNSPACED)}]")

_MARKS = "".join(
    chr(code)
    for start, end in ((0xE00, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3000, 0x30FF))
    for code in range(start, end + 1)
    if unicodedata.category(chr(code))[0] == "M"
)
_HAS_MARKS = re.compile(f"[{_MARKS}]")
_CHARACTER = re.compile(f".[{_MARKS}]*", re.DOTALL)


def runs(folded: str) -> list[str]:
    """Return the longest parts of a folded text that are of one script, in their order."""
    return _RUN.findall(folded)


def is_unspaced(run: str) -> bool:
    """Return whether a run is of a script that does not tell where its words end.

    Hangul has spaces, but not before its particles.
    """
    return _IS_UNSPACED.match(run) is not None


def characters(run: str) -> list[str]:
    """Return the characters of a run, each with the marks that stand on it."""
    return _CHARACTER.findall(run) if _HAS_MARKS.search(run) else list(run)


def bigrams(run: str) -> list[str]:
    """Return a run as it is indexed: its overlapping pairs, then its last character alone.

    So each of its characters begins one word of the index, and each part of it is a phrase there.
    """
    if not _HAS_MARKS.search(run):
        return [run[start : start + 2] for start in range(len(run))]
    parts = _CHARACTER.findall(run)
    return [*map(str.__add__, parts, parts[1:]), parts[-1]]
