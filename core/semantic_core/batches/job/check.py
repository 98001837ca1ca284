"""The spot check: a few texts embedded live once more, and compared with what a job brought.

A result is put back by its key. Should the provider give an answer under another text's key, both
are well formed, and nothing else can tell.
"""

import hashlib
import heapq
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semantic_core.batches.job.afford import price_of_check
from semantic_core.batches.job.context import BatchContext, LeasedJob
from semantic_core.batches.job.end import RELEASE, hold
from semantic_core.domain.errors import InvalidInputError, ProviderError, UnreadableFileError
from semantic_core.domain.media import MediaBytes, load_media
from semantic_core.domain.pages import pages
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import HoldReason
from semantic_core.domain.types import Vector
from semantic_core.providers.facts import content_tokens
from semantic_core.providers.types import ResultLine
from semantic_core.providers.wire.vectors import normalize
from semantic_core.queue.checks import finish_check, forget_check, has_passed, record_check
from semantic_core.queue.claims import wanted_sources
from semantic_core.queue.items import carried_texts
from semantic_core.store.writing.media import MediaChangedError, sent_media
from semantic_core.views.wording import counted

_log = logging.getLogger(__name__)

# The vector of the same text, embedded by batch and live, differs in the last digits only.
LEAST_COSINE = 0.9

_HASH = re.compile("[0-9a-f]{64}")

# Texts that say nearly the same are nearly as near.
MOST_LEAD = 0.02

# For each text to check, how many lines are looked at: chunks are deleted while a job runs.
_CANDIDATES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedText:
    """How a stored vector compares with the live one of its text.

    ``nearest`` is the cosine of the live one with the nearest vector of another text, or None.
    """

    cosine: float
    nearest: float | None

    @property
    def is_good(self) -> bool:
        lead = -1.0 if self.nearest is None else self.nearest - self.cosine
        return self.cosine >= LEAST_COSINE and lead <= MOST_LEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotCheck:
    texts: tuple[CheckedText, ...]

    @property
    def is_passed(self) -> bool:
        return all(text.is_good for text in self.texts)

    @property
    def worst_cosine(self) -> float | None:
        return min((text.cosine for text in self.texts), default=None)

    def __str__(self) -> str:
        if not self.texts:
            return "no text could be checked"
        cosines = sorted(text.cosine for text in self.texts)
        return (
            f"{counted(len(cosines), 'text')} embedded live again, "
            f"cosines {cosines[0]:.3f} to {cosines[-1]:.3f}"
        )


def passes_check(job: LeasedJob, path: Path, specs: Sequence[EmbeddingSpec]) -> bool:
    """Check a few results of a job before any is stored; hold the job where one is wrong.

    Does nothing unless `BatchConfig.spot_check` asks for it, or where the job has passed already.
    Returns whether the results may be trusted.

    Raises:
        ProviderError: the live call failed; the job stays as it is, and the next sync checks it.
    """
    context = job.context
    if not context.config.spot_check:
        return True
    with context.store.database.snapshot() as connection:
        if has_passed(connection, job.id):
            return True
    for spec in specs:
        sample = _sample(job, path, spec)
        if not sample:
            continue
        contents = [content for content, _ in sample]
        number, live = embed_again(context, contents, spec=spec, job=job)
        keys = [line.key for _, line in sample]
        lines = context.provider.results(path, spec)
        found = SpotCheck(texts=tuple(_compare(lines, {keys[at]: live[at] for at in live})))
        close_check(context, number, found)
        if not found.is_passed:
            why = f"{found}: results have the keys of other texts, so none is used. {RELEASE}"
            hold(job, HoldReason.SPOT_CHECK, why)
            return False
        _log.info("Spot check of batch job %s: %s.", job.id, found)
    return True


def embed_again(
    context: BatchContext,
    contents: Sequence[tuple[str, str | None]],
    *,
    spec: EmbeddingSpec,
    job: LeasedJob | None = None,
) -> tuple[int, dict[int, Vector]]:
    """Embed contents live that have a vector already; their price is recorded before it is due.

    Each is a vector source and its media as they are stored.

    Returns:
        The number of the check, and the vectors, of length 1, by position; that of a text
        which is too long is left out, and that of a picture whose file was changed or is gone.

    Raises:
        BudgetExceededError: it is of no job, and would pass the monthly budget.
    """
    media: dict[int, tuple[MediaBytes, ...]] = {}
    for place, (_, stored) in enumerate(contents):
        with suppress(MediaChangedError, UnreadableFileError):
            media[place] = sent_media(context.store.database, load_media(stored), spec)
    asked = [contents[place] for place in media]
    tokens = sum(content_tokens(asked, spec))
    with context.store.database.transaction() as connection:
        now = context.clock.now()
        cost = price_of_check(
            connection,
            spec.model,
            tokens,
            config=context.config,
            now=now,
            is_set_aside=job is not None,
        )
        number = record_check(
            connection,
            job_id=None if job is None else job.id,
            model=spec.model,
            texts=len(asked),
            tokens=tokens,
            cost_usd=cost,
            now=now,
        )
    found: dict[int, Vector] = {}
    places = list(media)
    before_each = None if job is None else job.keep
    try:
        with context.provider.live(context.keyring) as embedder:
            for answered in embedder.embed_in_parts(
                [text for text, _ in asked],
                spec=spec,
                media=list(media.values()),
                before_each=before_each,
            ):
                found |= {
                    places[position]: normalize(vector)
                    for position, vector in answered.items()
                    if not isinstance(vector, str)
                }
    except InvalidInputError as error:
        _log.warning("Not all could be checked: %s", error)
    except ProviderError as error:
        if error.is_definite and not found:
            with context.store.database.transaction() as connection:
                forget_check(connection, number)
        raise
    return number, found


def close_check(context: BatchContext, number: int, found: SpotCheck) -> None:
    with context.store.database.transaction() as connection:
        finish_check(connection, number, worst_cosine=found.worst_cosine, is_passed=found.is_passed)


def _sample(
    job: LeasedJob, path: Path, spec: EmbeddingSpec
) -> list[tuple[tuple[str, str | None], ResultLine]]:
    """Return some contents that chunks still want, each with its result: any, but the same again."""
    context = job.context
    most = context.config.spot_check
    candidates = heapq.nsmallest(
        _CANDIDATES * most,
        (line for line in context.provider.results(path, spec) if line.vector is not None),
        key=lambda line: hashlib.sha256(f"{job.id}{line.key}".encode()).digest(),
    )
    lines = {key: line for line in candidates if (key := key_of(line))}
    with context.store.database.snapshot() as connection:
        asked = list(lines)
        if not job.record().is_adopted:
            carried = carried_texts(connection, job.id, asked)
            asked = [key for key in asked if key in carried]
        sources = wanted_sources(connection, asked)
    hash_of = spec.hasher()
    found = [
        ((source, media), lines[key])
        for key, (source, media) in sources.items()
        if hash_of(source, load_media(media)) == key
    ]
    return found[:most]


def _compare(lines: Iterable[ResultLine], live: dict[str | None, Vector]) -> Iterator[CheckedText]:
    if not live:
        return
    keys = list(live)
    columns = np.stack([live[key] for key in keys]).T
    own = np.full(len(keys), -1.0)
    others = np.full(len(keys), -1.0)
    for page in pages(line for line in lines if line.vector is not None):
        found = np.stack([line.vector for line in page if line.vector is not None])
        cosines = normalize(found) @ columns
        is_own = np.array([[line.key == key for key in keys] for line in page])
        own = np.maximum(own, np.where(is_own, cosines, -1.0).max(axis=0))
        others = np.maximum(others, np.where(is_own, -1.0, cosines).max(axis=0))
    for cosine, nearest in zip(own.tolist(), others.tolist(), strict=True):
        yield CheckedText(cosine=cosine, nearest=nearest)


def key_of(line: ResultLine) -> bytes | None:
    """Return the content hash that a result's key spells; None where it is no key of ours."""
    key = line.key or ""
    return bytes.fromhex(key) if _HASH.fullmatch(key) else None
