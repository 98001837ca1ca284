from collections.abc import Iterator

from semantic_core.batches import BatchManager
from semantic_core.doctor.findings import Examination, Finding, Trouble
from semantic_core.doctor.jobs import remote_files, remote_jobs, temporary_files, waiting_jobs
from semantic_core.doctor.rows import (
    contradictions,
    damage,
    full_text,
    open_files,
    pauses,
    vector_index,
    wrong_counts,
)
from semantic_core.doctor.sample import sampled_vectors, targets
from semantic_core.domain.errors import DatabaseCorruptError, ProviderError, StoreMovedError


def examine(manager: BatchManager, *, fix: bool = False, sample: int = 0) -> Examination:
    """Look for everything that may be wrong with a database, its files and its jobs.

    Reads the whole database; asks the provider only if there is a batch key. Nothing is
    changed, unless asked for.

    Args:
        manager: whose database; its keyring decides whether the provider is asked.
        fix: fix what can neither lose data nor cost money: rebuild what follows from the rows,
            use vectors that are stored, end impossible leases and pauses, remove leftover files, adopt
            unknown jobs. Claims that may have been sent are never released.
        sample: embed so many texts live once more, with the default key and within the monthly
            budget, and compare their vectors with those that are stored. It is paid for.

    Raises:
        MissingBatchKeyError: a sample is asked for, which tells its endpoint by this key.
        MissingDefaultKeyError: likewise; nothing was sent.
        StorageError: the database could not be read.
    """
    if sample:
        # Before the long reading, and before anything is paid for.
        manager.context()
        manager.keyring.get_default_key()
    return Examination(findings=tuple(_findings(manager, fix=fix, sample=sample)))


def _findings(manager: BatchManager, *, fix: bool, sample: int) -> Iterator[Finding]:
    found = damage(manager.store.database)
    if found is not None:
        # Nothing else that it says can be trusted, and nothing may be written to it.
        yield found
        return
    try:
        yield from _beneath(manager, fix=fix)
    except DatabaseCorruptError as error:
        # SQLite finds the file in order, but not what is in it.
        yield Finding(trouble=Trouble.DAMAGE, message=str(error))
        return
    yield from _at_provider(manager, fix=fix)
    yield from sampled_vectors(manager, texts=sample)
    yield from targets(manager.store, fix=fix)
    yield from waiting_jobs(manager)


def _beneath(manager: BatchManager, *, fix: bool) -> Iterator[Finding]:
    database, now = manager.store.database, manager.clock.now()
    yield from contradictions(database)
    yield from wrong_counts(database, fix=fix, now=now)
    yield from full_text(database, fix=fix)
    yield from vector_index(manager.store, fix=fix)
    yield from pauses(database, fix=fix, now=now, beyond=manager.config.longest_pause)
    yield from open_files(database, fix=fix)
    yield from temporary_files(manager, fix=fix)


def _at_provider(manager: BatchManager, *, fix: bool) -> Iterator[Finding]:
    if not manager.keyring.batch_available:
        what = "The provider was not asked for jobs and files: there is no batch key."
        yield Finding.of(Trouble.NOT_LOOKED, what=what)
        return
    try:
        context = manager.context()
        yield from remote_jobs(context, fix=fix)
        yield from remote_files(context, fix=fix)
    except (ProviderError, StoreMovedError) as error:
        yield Finding.of(Trouble.NOT_LOOKED, what=f"The provider could not be asked: {error}")
