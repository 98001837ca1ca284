"""Options that several commands share, and the objects they open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from semantic_core.batches import BatchConfig, BatchManager
from semantic_core.facade import SemanticCore
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient, GeminiEmbedder
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.store import DEFAULT_COLLECTION, PeeweeVectorStore

Db = Annotated[
    Path, typer.Option("--db", envvar="SEMCORE_DB", help="The database file; ingest makes it.")
]
CollectionName = Annotated[
    str, typer.Option("--collection", "-c", help="Which collection of the database.")
]
Languages = Annotated[
    str | None,
    typer.Option(
        "--languages",
        help="Languages of words in Latin letters, such as en,de. A new collection keeps them; "
        "for another one see semcore reindex.",
    ),
]
OnlyCollection = Annotated[
    str | None,
    typer.Option("--collection", "-c", help="Only this collection; all of them if left out."),
]
MaxCost = Annotated[
    float | None, typer.Option(min=0, help="Most that one job may cost, in dollars (estimated).")
]
MonthlyBudget = Annotated[
    float | None,
    typer.Option(
        min=0,
        envvar="SEMCORE_MONTHLY_BUDGET",
        help="Most that this month's jobs (UTC) may cost in all, in dollars.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON for scripts.")]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        help="Another endpoint than Google's, such as an emulator's "
        "(GOOGLE_GEMINI_BASE_URL does the same).",
    ),
]

DEFAULT_DB = Path("semcore.db")


@contextmanager
def open_core(
    db: Path,
    *,
    collection: str = DEFAULT_COLLECTION,
    languages: str | None = None,
    base_url: str | None = None,
    is_new_fine: bool = False,
) -> Iterator[SemanticCore]:
    """Open the core on a database, with keys from the environment.

    Raises:
        UnknownCollectionError: there is no such collection, and a new one is not wanted.
    """
    keyring = GoogleKeyring.from_env()
    if not is_new_fine:
        check_there(db)
    with (
        GeminiEmbedder(keyring, endpoint=Endpoint(base_url=base_url)) as embedder,
        PeeweeVectorStore(db) as store,
    ):
        if not is_new_fine and collection != DEFAULT_COLLECTION:
            store.stats(collection)
        yield SemanticCore(
            store,
            keyring,
            collection=collection,
            languages=None if languages is None else language_names(languages),
            embedder=embedder,
        )


@contextmanager
def open_manager(
    db: Path,
    *,
    collection: str | None = None,
    base_url: str | None = None,
    monthly_budget: float | None = None,
) -> Iterator[BatchManager]:
    """Open the manager of a database's queue, with keys from the environment."""
    keyring = GoogleKeyring.from_env()
    check_there(db)
    with ExitStack() as opened:
        client = None
        if keyring.batch_available:
            client = opened.enter_context(
                GeminiBatchClient.from_keyring(keyring, endpoint=Endpoint(base_url=base_url))
            )
        store = opened.enter_context(PeeweeVectorStore(db))
        config = BatchConfig(monthly_budget_usd=monthly_budget)
        yield BatchManager(keyring, store, collection=collection, client=client, config=config)


def language_names(languages: str) -> list[str]:
    """Return the names in a list with commas between them."""
    return [name.strip() for name in languages.split(",")]


def check_there(db: Path) -> None:
    """Only what saves may make a database: a mistyped path should not look like an empty one."""
    if not db.exists():
        raise typer.BadParameter(
            f"there is no database at {db}. Nothing was made. Correct the path, or make one: "
            f"semcore ingest FOLDER --db {db}",
            param_hint="--db",
        )
