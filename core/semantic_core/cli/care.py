"""Commands that look after a database: backup, copy, reindex, index and doctor."""

from pathlib import Path
from typing import Annotated

import typer

from semantic_core.cli.options import (
    DEFAULT_DB,
    AsJson,
    AttachedTargets,
    BaseUrl,
    CollectionName,
    Db,
    MonthlyBudget,
    language_names,
    open_manager,
)
from semantic_core.cli.output import FAILED, counting, print_json, say
from semantic_core.cli.target import Target, read_target
from semantic_core.cli.terms import in_terminal
from semantic_core.doctor import examine
from semantic_core.store import DEFAULT_COLLECTION
from semantic_core.store.writing.copy_store import copy_store
from semantic_core.views.wording import counted


def backup(
    target: Annotated[Path, typer.Argument(help="The file to write.")],
    db: Db = DEFAULT_DB,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there, in one step.")
    ] = False,
) -> None:
    """Copy the database to one file, while others work on it. Needs no key."""
    db.check_there()
    with db.open() as store:
        store.backup(target, overwrite=overwrite)
    say(f"Saved a copy of {db} as {target} ({target.stat().st_size:,} bytes).")


def copy(
    old: Annotated[
        Target, typer.Argument(parser=read_target, metavar="OLD", help="The database to move.")
    ],
    new: Annotated[
        Target,
        typer.Argument(
            parser=read_target, metavar="NEW", help="Where it goes: a file, or postgresql://..."
        ),
    ],
) -> None:
    """Move a database into a file or onto a PostgreSQL server. Needs no key.

    Everything goes along, open jobs as well, and nothing is paid for again. The old one is marked:
    it can be searched, but takes and sends nothing more. After an interrupt the same command goes
    on where it was.
    """
    old.check_there("OLD")
    with old.open() as source, new.open() as target, counting("copied", unit="rows") as tell:
        chunks = copy_store(source, target, progress=tell)
    say(
        f"{new} has everything of {old}: {counted(chunks, 'chunk')}. The old one can be searched, and "
        "sends nothing more.",
        f"Next: semcore status --db {new}",
    )


def reindex(
    languages: Annotated[
        str, typer.Argument(help="Languages of words in Latin letters, such as en,de.")
    ],
    db: Db = DEFAULT_DB,
    collection: CollectionName = DEFAULT_COLLECTION,
) -> None:
    """Change the languages of a collection, and index its words again. Needs no key.

    Search goes on meanwhile. After an interrupt the same command goes on where it was.
    """
    db.check_there()
    names = language_names(languages)
    with db.open() as store, counting("indexed", unit="chunks") as tell:
        done = store.reindex(collection, languages=names, progress=tell)
    say(f"Indexed {counted(done, 'chunk')} of {collection!r} anew, in {', '.join(names)}.")


def index(
    collection: Annotated[str, typer.Argument(help="Which collection.")] = DEFAULT_COLLECTION,
    db: Db = DEFAULT_DB,
    drop: Annotated[
        bool, typer.Option("--drop", help="Take it back: each machine searches by itself again.")
    ] = False,
) -> None:
    """Let a PostgreSQL server search the vectors of a collection. Needs no key.

    The server needs pgvector 0.8 or newer. Search goes on meanwhile. After an interrupt the same
    command goes on where it was.
    """
    db.check_there()
    with db.open() as store:
        if drop:
            store.drop_index(collection)
            say(f"Each machine searches the vectors of {collection!r} by itself.")
            return
        with counting("put in, then the index is built", unit="vectors") as tell:
            done = store.index(collection, progress=tell)
    say(f"Put {counted(done, 'vector')} in: the server searches {collection!r} from now on.")


def doctor(
    db: Db = DEFAULT_DB,
    fix: Annotated[
        bool, typer.Option("--fix", help="Fix what can neither lose nor cost anything.")
    ] = False,
    sample: Annotated[
        int,
        typer.Option(
            min=0, help="Embed so many texts live again and compare; they are paid for again."
        ),
    ] = 0,
    monthly_budget: MonthlyBudget = None,
    target: AttachedTargets = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Look for what is wrong with a database, its files and its jobs.

    Reads the whole database; with a batch key it asks the provider, too, which costs nothing
    without --sample.
    Exits with 1 if something is left that somebody should do something about.
    """
    with open_manager(
        db, base_url=base_url, monthly_budget=monthly_budget, targets=target
    ) as manager:
        found = examine(manager, fix=fix, sample=sample)
    if as_json:
        print_json({"is_healthy": found.is_healthy, "findings": found.findings})
    else:
        for finding in found.findings:
            mark = "fixed" if finding.is_fixed else "note" if finding.is_note else "WRONG"
            say(f"[{mark}] {finding.trouble}: {in_terminal(finding.message)}")
        if not fix and any(finding.is_fixable for finding in found.findings):
            named = "".join(f" --target {one}" for one in target or ())
            say(f"Next: semcore doctor --fix --db {db}{named}")
        if found.is_healthy:
            say("Nothing is wrong.")
    if not found.is_healthy:
        raise typer.Exit(FAILED)
