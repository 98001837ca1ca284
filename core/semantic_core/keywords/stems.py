"""Stems: what the forms of one word have in common, by script or by language."""

import threading
from collections.abc import Iterable

import Stemmer

from semantic_core.domain.errors import InvalidInputError
from semantic_core.keywords.folding import script, unaccented

DEFAULT_LANGUAGES = ("en",)

# Of a stem made here. The database's own English stemmer looks at how a word ends, so it leaves
# these alone; and as a private-use character, it stands in no folded text.
STEMMED = "\ue000"

ENGLISH = "en"

# Languages in Latin letters; those below are told by their script.
LANGUAGES = {
    "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "eo": "esperanto",
    "es": "spanish", "et": "estonian", "eu": "basque", "fi": "finnish", "fr": "french",
    "ga": "irish", "hu": "hungarian", "id": "indonesian", "it": "italian", "lt": "lithuanian",
    "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian",
    "sv": "swedish", "tr": "turkish",
}  # fmt: skip

# A script that several languages share goes by the one with the most texts.
_BY_SCRIPT = {
    "ARABIC": "arabic",
    "ARMENIAN": "armenian",
    "CYRILLIC": "russian",
    "DEVANAGARI": "hindi",
    "GREEK": "greek",
    "TAMIL": "tamil",
}


def check_languages(languages: Iterable[str]) -> tuple[str, ...]:
    """Return languages, each once, in their order; an InvalidInputError where one is unknown."""
    asked = (languages,) if isinstance(languages, str) else tuple(dict.fromkeys(languages))
    known = {ENGLISH, *LANGUAGES}
    wrong = [name for name in asked if name not in known]
    if wrong or not asked:
        raise InvalidInputError(
            f"languages={asked!r}: use one or more of {', '.join(sorted(known))}. Words of other "
            "scripts need no language: they are told by their letters. Nothing was changed."
        )
    return asked


def read_languages(text: str) -> tuple[str, ...]:
    """Return languages as they are stored, with spaces between them; unknown ones are damage."""
    known = tuple(name for name in text.split() if name == ENGLISH or name in LANGUAGES)
    return known or DEFAULT_LANGUAGES


def stems(word: str, languages: tuple[str, ...]) -> tuple[str, ...]:
    """Return the different forms under which a word is indexed, the one used in phrases first.

    The word is a run of a script with spaces, folded with accents. English words are left as they
    are: the database stems them.
    """
    bare = unaccented(word)
    name = _BY_SCRIPT.get(script(word[0]))
    if name is not None:
        return (stem(name, bare),)
    found: dict[str, None] = {}
    for language in languages:
        if language == ENGLISH:
            found[bare] = None
            continue
        # The stemmer looks at accents, which a question may lack.
        for form in dict.fromkeys((word, bare)):
            found[unaccented(stem(LANGUAGES[language], form)) + STEMMED] = None
    return tuple(found)


class _Stemmers(threading.local):
    """Stemmers of this thread: one must not serve two threads at once."""

    def __init__(self) -> None:
        self.made: dict[str, Stemmer.Stemmer] = {}


_stemmers = _Stemmers()

# Longer ones are no words, and some stemmers take more than linear time.
_LONGEST = 64


def stem(language: str, word: str) -> str:
    """Return the stem of a word by one of Snowball's stemmers."""
    if len(word) > _LONGEST:
        return word
    stemmer = _stemmers.made.get(language)
    if stemmer is None:
        stemmer = _stemmers.made[language] = Stemmer.Stemmer(language, 0)
    return stemmer.stemWord(word) or word
