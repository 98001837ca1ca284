"""Commands on single jobs and on what failed."""

from typing import Annotated

import typer

from semantic_core.batches import BatchManager
from semantic_core.cli.options import DEFAULT_DB, AsJson, BaseUrl, Db, OnlyCollection, open_manager
from semantic_core.cli.output import print_json, say
from semantic_core.cli.queue import show_jobs
from semantic_core.domain.errors import BatchNotFoundError
from semantic_core.views.wording import counted, media_name, shorten

JobId = Annotated[
    str, typer.Argument(help="The job's id, or its beginning; `semcore jobs` lists them.")
]


def jobs(
    db: Db = DEFAULT_DB,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The last so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List batch jobs, the newest last. Needs no key."""
    with open_manager(db) as manager:
        found = manager.jobs()[-limit:]
    if as_json:
        print_json({"jobs": found})
    elif not found:
        say("No batch job was sent yet.")
    else:
        show_jobs(found)


def failed(
    db: Db = DEFAULT_DB,
    collection: OnlyCollection = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The first so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List chunks without a vector that will not get one by themselves, and why. Needs no key."""
    with open_manager(db, collection=collection) as manager:
        chunks = manager.failed_chunks(limit)
    if as_json:
        print_json({"failed": chunks})
        return
    for chunk in chunks:
        say(f"{chunk.id} of {chunk.document_id or '(no document)'} in {chunk.collection}")
        say(f"   why:  {chunk.error_message}")
        media = "; ".join(map(media_name, chunk.media))
        say(f"   text: {shorten(chunk.text, 120) or media or '(blank)'}")
    if chunks:
        say(
            "Fix the text and ingest it again, delete it, or try once more: "
            f"semcore retry --db {db}"
        )
    else:
        say("Nothing failed.")


def retry(db: Db = DEFAULT_DB, collection: OnlyCollection = None, as_json: AsJson = False) -> None:
    """Let what failed at the provider, or waits for a time, go with the next flush. Needs no key."""
    with open_manager(db, collection=collection) as manager:
        count = manager.retry_failed()
        failed_count = manager.get_queue_stats().failed
    if as_json:
        print_json({"waiting_again": count})
    elif count:
        verb = "waits" if count == 1 else "wait"
        say(f"{counted(count, 'chunk')} {verb} again. Next: semcore flush --db {db}")
    elif failed_count:
        say(
            "What failed never reached the provider (a blank text, say), so there is nothing to "
            f"retry. Next: semcore failed --db {db}"
        )
    else:
        say("Nothing failed, so there is nothing to retry.")


def cancel(job: JobId, db: Db = DEFAULT_DB, base_url: BaseUrl = None) -> None:
    """Cancel a job at the provider; its texts wait again once that is confirmed."""
    with open_manager(db, base_url=base_url) as manager:
        job_id = _whole_id(manager, job)
        status = manager.cancel(job_id)
        found = {one.id: one for one in manager.jobs()}[job_id]
    if found.is_open:
        say(f"The provider was asked to cancel it (now {status}). Next: semcore sync --db {db}")
    else:
        say(f"The job has ended: {found.failure_reason or found.status}.")


def release(
    job: JobId,
    db: Db = DEFAULT_DB,
    accept_rebilling: Annotated[
        bool,
        typer.Option(
            "--accept-rebilling", help="Its texts may be paid for a second time, and that is fine."
        ),
    ] = False,
    base_url: BaseUrl = None,
) -> None:
    """Give up a job that is held or uncertain, so that its texts are sent again."""
    with open_manager(db, base_url=base_url) as manager:
        manager.release(_whole_id(manager, job), accept_rebilling)
    say(f"Its texts wait again. Next: semcore flush --db {db}")


def _whole_id(manager: BatchManager, beginning: str) -> str:
    """Return the id that begins so; a BatchNotFoundError where none does, or several do."""
    found = [job.id for job in manager.jobs() if job.id.startswith(beginning)]
    if len(found) != 1:
        raise BatchNotFoundError(
            f"{len(found) or 'No'} batch jobs begin with {beginning!r}. `semcore jobs` lists them.",
            batch_id=beginning,
        )
    return found[0]
