"""Words of every script and language: what is indexed of a text, and what a question asks.

One form serves both sides and every database. Words in plain English are left to the database's
own tokenizer.
"""

from semantic_core.keywords.index import IndexedWords, Said, indexed_words
from semantic_core.keywords.passages import passages
from semantic_core.keywords.question import Phrase, Question, Term, ask
from semantic_core.keywords.stems import DEFAULT_LANGUAGES, check_languages, read_languages, stem

__all__ = [
    "DEFAULT_LANGUAGES",
    "IndexedWords",
    "Phrase",
    "Question",
    "Said",
    "Term",
    "ask",
    "check_languages",
    "indexed_words",
    "passages",
    "read_languages",
    "stem",
]
