"""The full-text index: one tsvector a chunk, ranked by how rare its words are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import log1p

from semantic_core.database.conditions import MAY_LACK_WORDS
from semantic_core.database.port import Connection
from semantic_core.database.postgres.connection import TsVectors
from semantic_core.database.postgres.words import as_tsquery, as_tsvectors, lexeme
from semantic_core.database.queries import first_column
from semantic_core.database.strategies import Scope, Sql
from semantic_core.database.word_choice import WordChoice, choose_words
from semantic_core.domain.errors import DatabaseCorruptError
from semantic_core.domain.pages import PAGE
from semantic_core.keywords import Phrase, Question, Said, Term, indexed_words, read_languages

# A table of its own: a change of a chunk's state must not write its words again.
TABLES = {
    "fulltext": "CREATE TABLE fulltext (chunk_pk bigint PRIMARY KEY, "
    "collection_id bigint NOT NULL, words tsvector NOT NULL, word_count integer NOT NULL)",
    "fulltext_words": "CREATE INDEX fulltext_words ON fulltext USING gin (words)",
    "fulltext_collection": "CREATE INDEX fulltext_collection ON fulltext (collection_id)",
    # ANALYZE tells how common the 5,000 most frequent words are, as this many make it do.
    "fulltext_statistics": "ALTER TABLE fulltext ALTER COLUMN words SET STATISTICS 1000",
}

# With so many rows that hold one of the rarest words, no others are ranked. On 62,000 real texts
# that halves the time, with an nDCG of 0.2916 for 0.2920, and the time does not grow with the table.
_CANDIDATES = 2_000

# So many rows are counted: how rare a word is counts for its rank.
COUNTED = 1000

# Every place counts alike, whatever its label.
_WEIGHTS = "'{1, 1, 1, 1}'::real[]"

_ADDED = """INSERT INTO fulltext (chunk_pk, collection_id, words, word_count)
    SELECT c.pk, c.collection_id, w.words, w.word_count
    FROM unnest(?::bigint[], ?, ?::integer[]) AS w(pk, words, word_count)
    JOIN chunks c ON c.pk = w.pk"""

# How much of the table holds each word that the last ANALYZE found to be frequent.
_SHARES = """SELECT found.word, found.share
    FROM pg_stats s, unnest(s.most_common_elems::text::text[], s.most_common_elem_freqs)
        AS found(word, share)
    WHERE s.schemaname = current_schema() AND s.tablename = 'fulltext' AND s.attname = 'words'
        AND found.word = ANY(?)"""


_SAID = f"""SELECT c.pk, c.text, c.vector_source, c.media, k.languages, k.former_languages,
        {MAY_LACK_WORDS}
    FROM chunks c JOIN collections k ON k.id = c.collection_id
    WHERE c.pk > ? ORDER BY c.pk LIMIT ?"""

# Of pages of chunks, how many have other words than they should; during a reindex, those of the
# former languages will do, and of what targets have, none.
_WRONG = """SELECT count(*)
    FROM unnest(?::bigint[], ?, ?, ?::boolean[]) AS w(pk, words, once, may_lack)
    LEFT JOIN fulltext f ON f.chunk_pk = w.pk
    WHERE f.words IS DISTINCT FROM w.words AND f.words IS DISTINCT FROM w.once
        AND NOT (w.may_lack AND coalesce(f.words = ''::tsvector, FALSE))"""


class TextVectors:
    """The words of ``chunks``, in the table ``fulltext``; see `Keywords`."""

    def remove(self, connection: Connection, pks: Sequence[int]) -> None:
        connection.execute("DELETE FROM fulltext WHERE chunk_pk = ANY(?)", (list(pks),))

    def add(self, connection: Connection, rows: Sequence[Said]) -> None:
        words, counts = _tsvectors(rows)
        connection.execute(_ADDED, ([row.pk for row in rows], words, counts))

    def search(
        self, connection: Connection, question: Question, *, counted: Scope, returned: Scope
    ) -> FoundWords | None:
        choice = choose_words(
            question,
            total=counted.total,
            candidates=_CANDIDATES,
            count=lambda bound: _count_words(
                connection, question.terms, counted, bound=max(bound, COUNTED + 1)
            ),
        )
        if choice is None:
            return None
        return FoundWords(connection, question, choice, _rows_of(returned), total=counted.total)

    def check(self, connection: Connection) -> None:
        wrong = 0
        for page in _all(connection):
            says, said, may_lack = zip(*page, strict=True)
            pks = [one.pk for one in says]
            now, once = _tsvectors(says)[0], _tsvectors(said)[0]
            (count,) = first_column(connection, _WRONG, (pks, now, once, list(may_lack)))
            wrong += count
        if wrong:
            raise DatabaseCorruptError.wrong_words(wrong)

    def rebuild(self, connection: Connection) -> None:
        connection.execute("DELETE FROM fulltext")
        for page in _all(connection):
            self.add(connection, [said for said, *_ in page])


def _tsvectors(rows: Sequence[Said]) -> tuple[TsVectors, list[int]]:
    """Return the words of chunks as one array, and how many each has."""
    texts = [row.text for row in rows]
    packed, counts = as_tsvectors(zip(texts, indexed_words(rows), strict=True))
    return TsVectors.of(len(rows), packed), counts


class FoundWords:
    """The matches of chosen words, in rows that meet a condition on ``fulltext AS f``.

    What its methods return stands at `KeywordHits`. The total is of the rows that were counted.
    """

    def __init__(
        self,
        connection: Connection,
        question: Question,
        choice: WordChoice,
        rows: Sql,
        *,
        total: int,
    ) -> None:
        self.explanation = choice.explanation
        self._connection = connection
        self._question = question
        self._choice = choice
        self._rows = rows
        self._total = total

    def best(self, limit: int) -> list[int]:
        choice = self._choice
        found = self._ranked(self._any_of(choice.candidates), limit)
        if len(found) < limit and len(choice.candidates) < len(choice.ranking):
            found = self._ranked(self._any_of(choice.ranking), limit)
        if self._question.first is None:
            return found
        first = self._ranked(as_tsquery(self._question.first), limit)
        return list(dict.fromkeys([*first, *found]))[:limit]

    def rest(self, limit: int) -> Iterator[list[int]]:
        for places in self._choice.filling:
            yield first_column(
                self._connection,
                f"SELECT f.chunk_pk FROM fulltext f WHERE f.words @@ ?::tsquery AND {self._rows.sql} "
                "ORDER BY f.chunk_pk LIMIT ?",
                (self._any_of(places), *self._rows.values, max(limit, 0)),
            )

    def _any_of(self, places: Iterable[int]) -> str:
        return " | ".join(_any_of(self._question.terms[place]) for place in places)

    def _ranked(self, holding: str, limit: int) -> list[int]:
        """Return the best of the rows that match a tsquery, whatever else they hold."""
        scores = [
            _score(self._question.terms[place], self._choice.counts[place] / self._total)
            for place in self._choice.ranking
        ]
        # BM25 with b = 0.75 and k near 0.65: ts_rank() is the sum of 1 / n**2 for the n-th time
        # that the word comes, over what that is without end. https://dl.acm.org/doi/10.1561/1500000019
        return first_column(
            self._connection,
            f"""SELECT pk FROM (
                SELECT f.chunk_pk AS pk, {" + ".join(score.sql for score in scores)} AS score,
                    f.word_count / avg(f.word_count::float8) OVER () AS length
                FROM fulltext f WHERE f.words @@ ?::tsquery AND {self._rows.sql}) AS found
            ORDER BY score / (0.625 + 0.375 * length) DESC, pk LIMIT ?""",
            (
                *(value for score in scores for value in score.values),
                *(holding, *self._rows.values, max(limit, 0)),
            ),
        )


def _score(term: Term, share: float) -> Sql:
    """Return what a row has for a term, which so large a share of the rows holds.

    Of its forms the most frequent one counts.
    """
    parts: list[str] = []
    values: list[object] = [log1p(1 / share)]
    for form in term:
        often = f"ts_rank({_WEIGHTS}, f.words, ?::tsquery)"
        if len(form.words) == 1:
            parts.append(often)
            values.append(as_tsquery(form))
        else:
            # ts_rank() of a phrase tells nothing of how often it stands there.
            parts.append(f"CASE WHEN f.words @@ ?::tsquery THEN {often} ELSE 0 END")
            values += [as_tsquery(form), as_tsquery(Phrase(form.words[:1]))]
    best = parts[0] if len(parts) == 1 else f"greatest({', '.join(parts)})"
    return Sql(f"?::float8 * {best}", tuple(values))


def _any_of(term: Term) -> str:
    return " | ".join(f"({as_tsquery(form)})" for form in term)


def _all(connection: Connection) -> Iterator[list[tuple[Said, Said, bool]]]:
    """Yield pages of what chunks say, now and in former languages, and whether that may be gone."""
    last = -1
    while rows := connection.execute(_SAID, (last, PAGE)).fetchall():
        page = []
        for *given, languages, former, may_lack in rows:
            said = Said.of(*given, languages=read_languages(languages))
            once = said if former is None else said._replace(languages=read_languages(former))
            page.append((said, once, may_lack))
        yield page
        last = page[-1][0].pk


def _rows_of(scope: Scope) -> Sql:
    """Return a scope as a condition on ``fulltext AS f``."""
    if scope.keys is not None:
        return Sql("f.chunk_pk = ANY(?)", (scope.keys.tolist(),))
    return scope.condition or Sql("true")


def _count_words(
    connection: Connection, terms: Sequence[Term], scope: Scope, *, bound: int
) -> list[int]:
    """Return how many rows hold each word, counted up to ``bound``.

    Of a word that is frequent in the table the same share of many rows is taken to hold it, since
    counting would read them all.
    """
    counts: dict[str, int] = {}
    asked = [_any_of(term) for term in terms]
    if scope.keys is None:
        words = [lexeme(term[0].words[0]) for term in terms if len(term) == 1]
        counts = {
            f"('{word}')": int(share * scope.total)
            for word, share in connection.execute(_SHARES, (words,))
            if share * scope.total > COUNTED
        }
    rows = _rows_of(scope)
    # What is no single word is in none of the shares.
    others = list(dict.fromkeys(word for word in asked if word not in counts))
    counts |= connection.execute(
        "SELECT w.word, (SELECT count(*) FROM (SELECT FROM fulltext f "
        f"WHERE f.words @@ w.word::tsquery AND {rows.sql} LIMIT ?) AS holding) "
        "FROM unnest(?::text[]) AS w(word)",
        (*rows.values, bound, others),
    ).fetchall()
    return [counts[word] for word in asked]
