"""What goes wrong on somebody's first day, and that each message helps.

Each says what happened, what that means for data and money, and what to do next: in the library,
and in the terminal with an exit code.
"""

from __future__ import annotations

import contextlib
import html
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from batch_emulator import Drop, Emulator, EndJob, FaultRule, Operation, Reply
from semantic_core import (
    AuthError,
    BatchConfig,
    BatchManager,
    BudgetExceededError,
    Chunk,
    Document,
    EmbeddingSpec,
    GeminiEmbedder,
    GoogleKeyring,
    InvalidVectorError,
    MissingBatchKeyError,
    MissingDefaultKeyError,
    NotASemcoreDatabaseError,
    PeeweeVectorStore,
    ProvenanceError,
    ProviderUnavailableError,
    RateLimitError,
    RemoteNotFoundError,
    RequestRefusedError,
    SemanticCore,
    SemanticCoreError,
    SpecMismatchError,
    StorageError,
    SubmissionUncertainError,
)
from semantic_core.cli.app import app
from semantic_core.cli.output import FAILED, OVER_BUDGET, TRY_AGAIN, fail
from semantic_core.cli.terms import in_terminal
from support.clock import ManualClock
from support.keys import canary

WRONG_USAGE = 2
NOBODY_LISTENS = "http://127.0.0.1:9"
REGION = Reply(
    code=400,
    status="FAILED_PRECONDITION",
    message="User location is not supported for the API use.",
)


class Newcomer:
    """Somebody with a file, a database and an environment."""

    def __init__(
        self, folder: Path, emulator: Emulator, setenv: Callable[[str, str], None]
    ) -> None:
        self.folder = folder
        self.emulator = emulator
        self.setenv = setenv
        self.database = folder / "notes.db"
        (folder / "docs").mkdir()
        (folder / "docs" / "cats.txt").write_text("The cat sat on the mat.")
        with PeeweeVectorStore(self.database) as store:
            store.collection(spec=EmbeddingSpec())
            store.save([Chunk(id="a", text="The cat sat on the mat.")])

    def flush(self, config: BatchConfig | None = None) -> None:
        """As a program does it, with keys and endpoint of the environment."""
        with (
            # Its time passes at once: offline, an upload is tried again for a while.
            PeeweeVectorStore(self.database, clock=ManualClock()) as store,
            BatchManager(GoogleKeyring.from_env(), store, config=config) as manager,
        ):
            manager.flush_queue()

    def sync(self) -> None:
        with (
            PeeweeVectorStore(self.database) as store,
            BatchManager(GoogleKeyring.from_env(), store) as manager,
        ):
            manager.sync_status()

    def embed_live(self) -> None:
        keyring = GoogleKeyring.from_env()
        with PeeweeVectorStore(self.database) as store, SemanticCore(store, keyring) as core:
            core.ingest(Document(content="It rains."), mode="sync")

    def open(self) -> None:
        PeeweeVectorStore(self.database).close()

    def terminal(self, *arguments: str) -> tuple[int, str]:
        """Run a command as ``semcore`` does; return its exit code and all it said."""
        result = CliRunner().invoke(app, [*arguments, f"--db={self.database}"])
        if not isinstance(result.exception, SemanticCoreError):
            return result.exit_code, result.output
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            code = fail(result.exception)
        return code, result.output + errors.getvalue()


@pytest.fixture
def newcomer(tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Newcomer:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator.url)
    monkeypatch.setenv("GEMINI_API_KEY", canary("default"))
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", canary("batch"))
    return Newcomer(tmp_path, emulator, monkeypatch.setenv)


# --- what goes wrong -----------------------------------------------------------------------


def without_batch_key(newcomer: Newcomer) -> None:
    newcomer.setenv("GEMINI_BATCH_API_KEY", "")


def without_default_key(newcomer: Newcomer) -> None:
    newcomer.setenv("GEMINI_API_KEY", "")


def with_a_wrong_batch_key(newcomer: Newcomer) -> None:
    newcomer.emulator.revoke_key(canary("batch"))


def with_a_wrong_default_key(newcomer: Newcomer) -> None:
    newcomer.emulator.revoke_key(canary("default"))


def over_the_quota(newcomer: Newcomer) -> None:
    newcomer.emulator.add_fault(
        FaultRule(effect=Reply(code=429, retry_delay=60), operation=Operation.CREATE, times=None)
    )


def from_a_region_without_service(newcomer: Newcomer) -> None:
    newcomer.emulator.add_fault(FaultRule(effect=REGION, operation=Operation.CREATE, times=None))


def offline(newcomer: Newcomer) -> None:
    newcomer.setenv("GOOGLE_GEMINI_BASE_URL", NOBODY_LISTENS)


def with_an_answer_lost(newcomer: Newcomer) -> None:
    newcomer.emulator.add_fault(
        FaultRule(effect=Drop(after=True), operation=Operation.CREATE, times=None)
    )


def with_a_mistyped_model(newcomer: Newcomer) -> None:
    newcomer.database = newcomer.folder / "typo.db"
    with PeeweeVectorStore(newcomer.database) as store:
        store.collection(spec=EmbeddingSpec(model="gemini-embeding-001"))
        store.save([Chunk(id="a", text="The cat sat on the mat.")])


def after_the_emulator(newcomer: Newcomer) -> None:
    newcomer.flush()
    newcomer.setenv("GOOGLE_GEMINI_BASE_URL", "https://generativelanguage.googleapis.com")


def in_a_folder_that_is_not_there(newcomer: Newcomer) -> None:
    newcomer.database = newcomer.folder / "nots" / "notes.db"


def on_a_folder(newcomer: Newcomer) -> None:
    newcomer.database = newcomer.folder / "docs"


def on_another_file(newcomer: Newcomer) -> None:
    newcomer.database = newcomer.folder / "docs" / "cats.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What goes wrong, how it is met, and what has to be said."""

    arrange: Callable[[Newcomer], None]
    call: Callable[[Newcomer], None]
    error: type[SemanticCoreError]
    command: tuple[str, ...]
    code: int
    happened: str
    means: str
    next_step: str


INGEST_LIVE = ("ingest", "--sync", "docs")
NO_COST = "This call cost nothing, and nothing is lost"

CASES = [
    Case(
        arrange=without_batch_key,
        call=Newcomer.flush,
        error=MissingBatchKeyError,
        command=("flush",),
        code=FAILED,
        happened="No batch key: batching is billed separately",
        means="Nothing was sent; what is saved waits, and is found by keyword",
        next_step="set GEMINI_BATCH_API_KEY",
    ),
    Case(
        arrange=without_default_key,
        call=Newcomer.embed_live,
        error=MissingDefaultKeyError,
        command=INGEST_LIVE,
        code=FAILED,
        happened="No default key",
        means="Nothing was sent",
        next_step="set GEMINI_API_KEY",
    ),
    Case(
        arrange=with_a_wrong_batch_key,
        call=Newcomer.flush,
        error=AuthError,
        command=("flush",),
        code=FAILED,
        happened="refused the batch key (GEMINI_BATCH_API_KEY)",
        means=NO_COST,
        next_step="Check the key at https://aistudio.google.com/apikey",
    ),
    Case(
        arrange=with_a_wrong_default_key,
        call=Newcomer.embed_live,
        error=AuthError,
        command=INGEST_LIVE,
        code=FAILED,
        happened="refused the default key (GEMINI_API_KEY)",
        means=NO_COST,
        next_step="Check the key at https://aistudio.google.com/apikey",
    ),
    Case(
        arrange=over_the_quota,
        call=Newcomer.flush,
        error=RateLimitError,
        command=("flush",),
        code=TRY_AGAIN,
        happened="says enough for now",
        means=NO_COST,
        next_step="wait and call again",
    ),
    Case(
        arrange=from_a_region_without_service,
        call=Newcomer.flush,
        error=RequestRefusedError,
        command=("flush",),
        code=FAILED,
        happened="User location is not supported",
        means=NO_COST,
        next_step="need a project with billing, in a region that Gemini serves",
    ),
    Case(
        arrange=offline,
        call=Newcomer.flush,
        error=ProviderUnavailableError,
        command=("flush",),
        code=TRY_AGAIN,
        happened="The provider at 127.0.0.1:9 cannot be reached",
        means="Nothing was sent, so this cost nothing, and nothing is lost",
        next_step="check the network and try again",
    ),
    Case(
        arrange=with_an_answer_lost,
        call=Newcomer.flush,
        error=SubmissionUncertainError,
        command=("flush",),
        code=TRY_AGAIN,
        happened="may or may not have reached the provider",
        means="so that none is sent again",
        next_step="Call sync_status()",
    ),
    Case(
        arrange=with_a_mistyped_model,
        call=Newcomer.flush,
        error=RemoteNotFoundError,
        command=("flush",),
        code=FAILED,
        happened="no embedding model 'gemini-embeding-001'. Did you mean 'gemini-embedding-001'?",
        means="This call cost nothing",
        next_step="save the texts into a new collection",
    ),
    Case(
        arrange=after_the_emulator,
        call=Newcomer.flush,
        error=ProvenanceError,
        command=("flush",),
        code=FAILED,
        happened="was used with endpoint:localhost",
        means="so that test vectors never mix with paid ones",
        next_step="for google, use a new database",
    ),
    Case(
        arrange=in_a_folder_that_is_not_there,
        call=Newcomer.open,
        error=StorageError,
        command=("ingest", "docs"),
        code=FAILED,
        happened="nots does not exist",
        means="does not exist",
        next_step="Create it, or choose another path",
    ),
    Case(
        arrange=on_a_folder,
        call=Newcomer.open,
        error=StorageError,
        command=("status",),
        code=FAILED,
        happened="docs is a folder",
        means="is a folder",
        next_step="Pass the path of a file",
    ),
    Case(
        arrange=on_another_file,
        call=Newcomer.open,
        error=NotASemcoreDatabaseError,
        command=("status",),
        code=FAILED,
        happened="is not a SQLite database",
        means="nothing was changed in it",
        next_step="Choose another path",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.arrange.__name__)
def test_the_message_helps(case: Case, newcomer: Newcomer) -> None:
    case.arrange(newcomer)
    with pytest.raises(case.error) as raised:
        case.call(newcomer)
    for part in (case.happened, case.means, case.next_step):
        assert part in str(raised.value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.arrange.__name__)
def test_the_terminal_helps(case: Case, newcomer: Newcomer) -> None:
    case.arrange(newcomer)
    with contextlib.chdir(newcomer.folder):
        code, said = newcomer.terminal(*case.command)
    assert code == case.code, said
    assert str(newcomer.folder) not in said  # relative paths, as one would type them
    for part in (case.happened, case.means, case.next_step):
        assert in_terminal(part).lower() in said.lower()


# --- what is no exception ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "because"),
    [
        (Reply(code=400, message="API key not valid."), "refused the default key"),
        (Reply(code=429, retry_delay=60), "says enough for now"),
        (REGION, "in a region that Gemini serves"),
        (Reply(code=404), "no embedding model"),
    ],
)
def test_a_search_answers_whatever_the_provider_says(
    newcomer: Newcomer, effect: Reply, because: str
) -> None:
    newcomer.flush()
    newcomer.sync()
    newcomer.emulator.add_fault(FaultRule(effect=effect, operation=Operation.EMBED, times=None))
    with (
        PeeweeVectorStore(newcomer.database) as store,
        SemanticCore(store, GoogleKeyring.from_env()) as core,
    ):
        results = core.search("cat")
    assert results[0].chunk.id == "a"
    assert results.degraded is not None
    assert because in results.degraded
    code, said = newcomer.terminal("search", "cat")
    assert code == 0
    assert "answered by keyword alone" in said
    assert because in said
    assert ".." not in said


def test_a_refused_live_ingest_says_what_is_missing_and_what_would_do(newcomer: Newcomer) -> None:
    newcomer.emulator.revoke_key(canary("default"))
    with contextlib.chdir(newcomer.folder):
        _, said = newcomer.terminal(*INGEST_LIVE)
    assert "documents are missing here" in said
    assert "Without --sync" in said


def test_a_rate_limit_shows_when_it_goes_on(newcomer: Newcomer) -> None:
    over_the_quota(newcomer)
    newcomer.terminal("flush")
    code, said = newcomer.terminal("flush")
    assert code == 0
    assert "Nothing sent: 1 distinct text waiting." in said
    assert re.search(r"Next: with what is open at most .*, from 20[-0-9]+ [:0-9]+ UTC on", said)
    assert "UTC on" in newcomer.terminal("status")[1]


@pytest.mark.parametrize(
    ("arrange", "because"),
    [
        (with_a_wrong_batch_key, "refused the batch key"),
        (with_a_mistyped_model, "Did you mean 'gemini-embedding-001'?"),
        (from_a_region_without_service, "User location is not supported"),
    ],
)
def test_what_the_provider_refuses_is_told_until_it_is_mended(
    newcomer: Newcomer, arrange: Callable[[Newcomer], None], because: str
) -> None:
    arrange(newcomer)
    newcomer.terminal("flush")
    page = newcomer.folder / "report.html"
    assert newcomer.terminal("report", f"--html={page}")[0] == 0
    assert "Nothing is stuck" not in page.read_text()
    code, said = newcomer.terminal("doctor")
    assert code == FAILED
    for told in (said, newcomer.terminal("status")[1], html.unescape(page.read_text())):
        assert "Skipped since" in told
        assert because in told


def test_one_key_for_both_uses_is_said_once(newcomer: Newcomer) -> None:
    newcomer.setenv("GEMINI_API_KEY", canary("batch"))
    said = [newcomer.terminal(*command)[1] for command in (("status",), ("flush",), ("sync",))]
    with PeeweeVectorStore(newcomer.database) as store:
        store.save([Chunk(id="b", text="It rains.")])
    said.append(newcomer.terminal("flush")[1])
    assert ["billed to one project" in one for one in said] == [False, True, False, False]


def test_a_key_that_works_again_leaves_nothing_to_tell(newcomer: Newcomer) -> None:
    with_a_wrong_batch_key(newcomer)
    newcomer.terminal("flush")
    newcomer.setenv("GEMINI_BATCH_API_KEY", canary("another-batch"))
    newcomer.terminal("flush")
    assert "Skipped since" not in newcomer.terminal("status")[1]
    assert newcomer.terminal("doctor") == (0, "Nothing is wrong.\n")


def test_a_model_without_a_price_is_told_where_a_budget_is_set(newcomer: Newcomer) -> None:
    with_a_mistyped_model(newcomer)
    assert newcomer.terminal("flush", "--monthly-budget=1")[0] == OVER_BUDGET
    code, said = newcomer.terminal("doctor")
    assert code == FAILED
    assert "no budget can be kept. Lift the budget" in said


def test_a_lost_answer_is_explained_until_it_is_known(newcomer: Newcomer) -> None:
    with_an_answer_lost(newcomer)
    assert "Next: semcore sync" in newcomer.terminal("flush")[1]
    assert "Nobody knows yet whether the provider took it" in newcomer.terminal("jobs")[1]
    assert "COMPLETED" in newcomer.terminal("sync")[1]


def test_an_expired_job_says_that_its_texts_wait_again(newcomer: Newcomer) -> None:
    newcomer.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_EXPIRED")))
    newcomer.flush()
    _, said = newcomer.terminal("sync")
    assert "the job expired at the provider" in said
    assert "Its texts wait for the next flush" in said
    with PeeweeVectorStore(newcomer.database) as store:
        (job,) = BatchManager(GoogleKeyring(), store).jobs()
        assert job.advice is not None
        assert "wait for the next flush" in job.advice
        assert store.stats().waiting == 1


def test_a_held_job_shows_the_command_that_gives_it_up(newcomer: Newcomer) -> None:
    newcomer.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_CANCELLED")))
    newcomer.flush()
    _, said = newcomer.terminal("sync")
    assert "somebody cancelled it at the provider" in said
    assert "--accept-rebilling" in said


def test_a_budget_says_which_and_when_it_ends(
    newcomer: Newcomer, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BudgetExceededError, match=r"monthly_budget_usd=.*the texts wait.*month"):
        newcomer.flush(BatchConfig(monthly_budget_usd=1e-9))
    code, said = newcomer.terminal("flush", "--max-cost=0.000000001")
    assert code == OVER_BUDGET
    assert said.startswith(
        "The budget is used up: the next batch job would pass --max-cost $1e-09. Nothing was "
    )
    assert "month" not in said
    code, said = newcomer.terminal("flush", "--all", "--monthly-budget=0.000000001")
    assert code == OVER_BUDGET
    # Nothing sets up logging in the command, so that Python shows a warning as it is.
    assert "would pass monthly_budget_usd" in caplog.text
    assert "1 distinct text waiting" in said
    assert newcomer.emulator.jobs() == []


@pytest.mark.parametrize("command", ["status", "flush", "search cat", "receipt", "watch"])
def test_a_mistyped_database_is_not_made(newcomer: Newcomer, command: str) -> None:
    newcomer.database = newcomer.folder / "note.db"
    code, said = newcomer.terminal(*command.split())
    assert code == WRONG_USAGE
    assert "there is no database at" in said
    assert "semcore ingest FOLDER" in said
    assert not newcomer.database.exists()


def test_a_mistyped_collection_is_not_made(newcomer: Newcomer) -> None:
    for command in (("search", "cat"), ("status",)):
        code, said = newcomer.terminal(*command, "--collection=nots")
        assert code == FAILED
        assert "There is no collection 'nots' (there is: 'default')" in said


def test_another_spec_is_told_by_what_differs(newcomer: Newcomer) -> None:
    with PeeweeVectorStore(newcomer.database) as store, pytest.raises(SpecMismatchError) as raised:
        store.collection(spec=EmbeddingSpec(dimensions=1536))
    assert "created with dimensions=768, not with dimensions=1536" in str(raised.value)
    assert "Nothing was changed" in str(raised.value)
    assert "choose another collection" in str(raised.value)


def test_a_vector_of_another_size_is_told_where_it_belongs(newcomer: Newcomer) -> None:
    with PeeweeVectorStore(newcomer.database) as store, pytest.raises(InvalidVectorError) as raised:
        store.save([Chunk(id="b", text="It rains.", vector=[0.5] * 1536)])
    assert "1536 dimensions, not 768" in str(raised.value)
    assert "EmbeddingSpec.external" in str(raised.value)


def test_a_key_is_never_shown(newcomer: Newcomer) -> None:
    newcomer.setenv("GEMINI_BATCH_API_KEY", "secret key")
    code, said = newcomer.terminal("flush")
    assert code == FAILED
    assert "The key in GEMINI_BATCH_API_KEY holds white space" in said
    assert "secret" not in said
    newcomer.emulator.revoke_key(canary("another-secret"))
    with (
        GeminiEmbedder(GoogleKeyring(default_key=canary("another-secret"))) as embedder,
        pytest.raises(AuthError) as raised,
    ):
        embedder.embed_query("cat", spec=EmbeddingSpec())
    assert "secret" not in str(raised.value)
