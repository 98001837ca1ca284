"""Options that several commands share, and the objects they open."""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer

from semantic_core.batches import BatchConfig, BatchManager
from semantic_core.cli.target import Target, read_target
from semantic_core.facade import SemanticCore
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient, GeminiEmbedder
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.store import DEFAULT_COLLECTION, PeeweeVectorStore

Db = Annotated[
    Target,
    typer.Option(
        "--db",
        envvar="SEMCORE_DB",
        parser=read_target,
        metavar="PATH|URL",
        help="The database: a file, which ingest makes, or postgresql://user@host/name.",
    ),
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

AttachedTargets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="MODULE:CALLABLE",
        help="Called with the open store, it attaches the vector stores to deliver to; the module "
        "is found as by Python in this folder. May be given several times.",
    ),
]

DEFAULT_DB = Target("semcore.db")


@contextmanager
def open_core(
    db: Target,
    *,
    collection: str = DEFAULT_COLLECTION,
    languages: str | None = None,
    base_url: str | None = None,
    is_new_fine: bool = False,
) -> Iterator[SemanticCore]:
    """Open the core on a database, with keys from the environment; ingest may make a collection."""
    keyring = GoogleKeyring.from_env()
    if not is_new_fine:
        db.check_there()
    with (
        GeminiEmbedder(keyring, endpoint=Endpoint(base_url=base_url)) as embedder,
        db.open() as store,
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
    db: Target,
    *,
    collection: str | None = None,
    base_url: str | None = None,
    monthly_budget: float | None = None,
    targets: Sequence[str] | None = None,
) -> Iterator[BatchManager]:
    """Open the manager of a database's queue, with keys from the environment."""
    keyring = GoogleKeyring.from_env()
    db.check_there()
    with ExitStack() as opened:
        client = None
        if keyring.batch_available:
            client = opened.enter_context(
                GeminiBatchClient.from_keyring(keyring, endpoint=Endpoint(base_url=base_url))
            )
        store = opened.enter_context(db.open())
        for target in targets or ():
            _attach(store, target)
        config = BatchConfig(monthly_budget_usd=monthly_budget)
        yield BatchManager(keyring, store, collection=collection, client=client, config=config)


def _attach(store: PeeweeVectorStore, named: str) -> None:
    """Let the code that was named attach its vector stores.

    Raises:
        typer.BadParameter: there is no such code.
    """
    module, _, name = named.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        build = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise typer.BadParameter(
            f"{named!r} cannot be imported ({error}). Give MODULE:CALLABLE, of a module in this "
            "folder or installed.",
            param_hint="--target",
        ) from error
    build(store)


def language_names(languages: str) -> list[str]:
    """Return the names in a list with commas between them."""
    return [name.strip() for name in languages.split(",")]
