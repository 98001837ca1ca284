"""Options that several commands share, and the objects they open."""

import importlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from semantic_core.batches import BatchConfig, BatchManager
from semantic_core.cli.output import warn
from semantic_core.cli.target import Target, read_target
from semantic_core.domain.errors import SemanticCoreError, SpecMismatchError, UnknownCollectionError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.facade import SemanticCore
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient, GeminiEmbedder
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.store import DEFAULT_COLLECTION, PeeweeVectorStore
from semantic_core.store.collections import describe_missing

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
        help="Its languages of words in Latin letters, such as en,de; semcore reindex changes them.",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCollection:
    """What a collection is made with, where there is none; ``is_named`` allows another than default."""

    is_named: bool = False
    model: str | None = None
    dimensions: int | None = None
    languages: str | None = None

    @property
    def spec(self) -> EmbeddingSpec:
        model = EmbeddingSpec().model if self.model is None else self.model.removeprefix("models/")
        known = _SPECS.get(model) or EmbeddingSpec(model=model)
        return replace(known, dimensions=self.dimensions or known.dimensions)

    def open(self, store: PeeweeVectorStore, name: str) -> None:
        found = store.find(name)
        if found is None:
            self.check_new(store, name)
        known = EmbeddingSpec() if found is None else found.spec
        model = known.model if self.model is None else self.model.removeprefix("models/")
        dimensions = self.dimensions or (768 if found is None else known.dimensions)
        if found is not None and (model, dimensions) != (known.model, known.dimensions):
            raise SpecMismatchError(
                f"Collection {name!r} has {known.model} with {known.dimensions} dimensions, not {model} "
                f"with {dimensions}. Leave out --model and --dimensions to use it as it is, or make "
                "another one with --collection NAME --new. Nothing was saved."
            )
        names = None if self.languages is None else language_names(self.languages)
        store.collection(name, self.spec if found is None else None, languages=names)

    def check_new(self, store: PeeweeVectorStore, name: str) -> None:
        """Refuse to make a collection that may be a typing error."""
        if not self.is_named and name != DEFAULT_COLLECTION:
            with store.database.snapshot() as connection:
                missing = describe_missing(connection, name)
            raise UnknownCollectionError(f"{missing}. To make it, add --new. Nothing was saved.")


_SPECS = {"gemini-embedding-2": EmbeddingSpec.gemini_embedding_2()}


@contextmanager
def open_core(
    db: Target,
    *,
    collection: str = DEFAULT_COLLECTION,
    base_url: str | None = None,
    made: NewCollection | None = None,
) -> Iterator[SemanticCore]:
    """Open the core on a database, with keys from the environment; ``made`` may make what is not there."""
    keyring = read_keyring()
    if made is None:
        db.check_there()
    with (
        GeminiEmbedder(keyring, endpoint=Endpoint(base_url=base_url)) as embedder,
        db.open() as store,
    ):
        if made is not None:
            made.open(store, collection)
        elif collection != DEFAULT_COLLECTION:
            store.stats(collection)
        yield SemanticCore(store, keyring, collection=collection, embedder=embedder)


@contextmanager
def open_manager(
    db: Target,
    *,
    collection: str | None = None,
    base_url: str | None = None,
    monthly_budget: float | None = None,
    targets: Sequence[str] | None = None,
) -> Iterator[BatchManager]:
    keyring = read_keyring()
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


def read_keyring() -> GoogleKeyring:
    """Return the keys of the environment; that they are one, the first flush says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return GoogleKeyring.from_env()


def _attach(store: PeeweeVectorStore, named: str) -> None:
    """Let the code that was named attach its vector stores.

    Where a store cannot be reached now, all but delivering to it goes on: results are not there
    forever.

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
    try:
        build(store)
    except SemanticCoreError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever the store raises
        warn(
            f"{named} could not attach its vector stores ({type(error).__name__}: {error}). Nothing "
            "goes there now; what waits for them stays noted."
        )


def language_names(languages: str) -> list[str]:
    """Return the names in a list with commas between them."""
    return [name.strip() for name in languages.split(",")]
