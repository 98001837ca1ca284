"""Words of every script and language: what is indexed of a text, and what a question asks.

One form serves both sides and every database. Words in plain English are left to the database's
own tokenizer.
"""

from semantic_core.keywords.index import IndexedWords as IndexedWords
from semantic_core.keywords.index import Said as Said
from semantic_core.keywords.index import indexed_words as indexed_words
from semantic_core.keywords.passages import passages as passages
from semantic_core.keywords.question import Phrase as Phrase
from semantic_core.keywords.question import Question as Question
from semantic_core.keywords.question import Term as Term
from semantic_core.keywords.question import ask as ask
from semantic_core.keywords.stems import DEFAULT_LANGUAGES as DEFAULT_LANGUAGES
from semantic_core.keywords.stems import check_languages as check_languages
from semantic_core.keywords.stems import read_languages as read_languages
from semantic_core.keywords.stems import stem as stem
