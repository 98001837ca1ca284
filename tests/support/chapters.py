"""Short stories of a user's day, each told the same way every time, to be interrupted anywhere.

A chapter is arranged by the test, acted out by a child process that may be killed or stopped at
any failpoint, and finished by the test. All of them together pass every failpoint; a chapter
knows nothing of failpoints itself.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from batch_emulator import (
    Drop,
    Emulator,
    EmulatorConfig,
    EndJob,
    FailLines,
    FaultRule,
    HideJob,
    Lines,
    Operation,
    Reply,
    StickJob,
)
from semantic_core.batches import BatchConfig, BatchManager
from semantic_core.domain.errors import SemanticCoreError
from semantic_core.domain.media import Media
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.providers.types import EmbeddingRequest
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.indexes.cached import LEAST_SAVED
from support.clock import SharedClock
from support.databases import open_patiently
from support.jobs import claim_job
from support.keys import BATCH_KEY
from support.legacy import write_legacy
from support.pictures import picture
from support.targets import FileTarget

KEY = BATCH_KEY
SPEC = EmbeddingSpec()
CONFIG = BatchConfig(max_requests=2, listing_grace=900.0, lease=600.0)

PICTURE_SPEC = EmbeddingSpec.gemini_embedding_2(dimensions=256)
# What each text has had as its picture, in this order: files by their names, and one in memory.
DRAWINGS = {
    name: [picture(seed) for seed in seeds]
    for name, seeds in {
        "kept.png": [1],
        "changed.png": [2, 3, 4],
        "gone.png": [5],
        "handed in": [6],
    }.items()
}

GIVEN = "given"
GIVEN_SPEC = EmbeddingSpec.external("given", 2)

T = TypeVar("T")


class Office:
    """One process's view of a database and its provider.

    Args:
        folder: where the database and the clock are.
        url: where the provider is.
        database: the URL of the database; None for a file in the folder.
        config: limits and delays.
        busy_timeout: seconds to wait for another process's lock.
        ticks: whether time goes on by itself.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        database: str | None = None,
        config: BatchConfig = CONFIG,
        busy_timeout: float = 10.0,
        ticks: bool = False,
    ) -> None:
        self.path = folder / "world.db"
        self.clock = SharedClock(folder / "clock", ticks=ticks)
        self.config = config
        self.errors: list[SemanticCoreError] = []
        self._folder = folder
        self._database = database
        self._client = GeminiBatchClient(
            KEY, endpoint=Endpoint(base_url=url, timeout=60.0), clock=self.clock
        )
        self._busy_timeout = busy_timeout
        self._store: PeeweeVectorStore | None = None
        self.target = FileTarget(folder / "target.db")

    @property
    def store(self) -> PeeweeVectorStore:
        """The database, opened and brought to the newest schema at the first use."""
        if self._store is None:
            database = open_patiently(self._database or self.path, self._busy_timeout)
            self._store = PeeweeVectorStore(database, clock=self.clock)
            if self.target.path.exists():
                self._store.delivery.attach(self.target, name="target")
        return self._store

    @property
    def is_on_server(self) -> bool:
        """Whether the database is PostgreSQL's."""
        return self._database is not None

    def manager(self) -> BatchManager:
        """A new manager, as cron would have one."""
        return BatchManager(
            GoogleKeyring(batch_key=KEY), self.store, client=self._client, config=self.config
        )

    def save(self, texts: Sequence[str]) -> None:
        """Save texts under themselves, and say so where it was acknowledged."""
        self.store.save(
            [
                Chunk(id=text, text=text, metadata={"text": text}, media=self._media(text))
                for text in texts
            ]
        )
        (self._folder / "saved.json").write_text(json.dumps(texts))

    def _media(self, text: str) -> tuple[Media, ...]:
        if text not in DRAWINGS:
            return ()
        return (Media(self._folder / text if text.endswith(".png") else DRAWINGS[text][0]),)

    def draw(self, name: str, number: int = 0) -> None:
        """Write a picture's file."""
        (self._folder / name).write_bytes(DRAWINGS[name][number])

    def lose(self, name: str) -> None:
        """Remove a picture's file."""
        (self._folder / name).unlink()

    def attempt(self, call: Callable[[], T]) -> T | None:
        """Do what cron does: a failed call is noted, and the next one follows."""
        try:
            return call()
        except SemanticCoreError as error:
            self.errors.append(error)
            return None

    def flush(self) -> str | None:
        """Send one job."""
        return self.attempt(lambda: self.manager().flush_queue())

    def sync(self) -> None:
        """Bring back what is done."""
        self.attempt(lambda: self.manager().sync_status())

    def upload_job(self, texts: Sequence[str]) -> None:
        """Create a job of ours at the provider that no row here knows of."""
        self._client.create_embedding_job(
            [EmbeddingRequest(key=SPEC.hasher()(text).hex(), text=text) for text in texts],
            spec=SPEC,
            display_name=f"semcore-{self.store.meta('install_id')}-{uuid.uuid4()}",
            spool=self._folder / "forgotten.jsonl",
        )

    def save_given(self) -> None:
        """Save so many vectors made elsewhere that their index is worth a file."""
        self.store.collection(GIVEN, GIVEN_SPEC)
        self.store.save(
            [
                Chunk(id=str(number), text="given", vector=[1.0, float(number)])
                for number in range(LEAST_SAVED)
            ],
            collection=GIVEN,
        )

    def back_up(self) -> None:
        """Copy the database, where that is not the server's work."""
        if not self.is_on_server:
            self.store.backup(self._folder / "backup.db", overwrite=True)

    def search_given(self) -> None:
        """Search them, which writes their index beside the database."""
        found = self.store.search(vector=[1.0, 7.0], collection=GIVEN, limit=1, mode="vector")
        assert [hit.chunk.id for hit in found] == ["7"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        if self._store is not None:
            self._store.close()


@dataclass(frozen=True, slots=True)
class Chapter:
    """A story.

    Attributes:
        texts: what is saved in it.
        act: what the child does; runs anew from its beginning when it is finished.
        arrange: prepares database and provider.
        config: how the provider behaves.
        spec: of its default collection.
        mend: what a person does before everything is done again; it gives texts new tries.
    """

    texts: tuple[str, ...]
    act: Callable[[Office], None]
    arrange: Callable[[Office, Emulator], None] = lambda office, emulator: None
    config: EmulatorConfig = EmulatorConfig()  # noqa: RUF009  # frozen
    spec: EmbeddingSpec = SPEC
    mend: Callable[[Office], None] | None = None

    @property
    def pictures(self) -> dict[str, list[bytes]]:
        """What is embedded together with each text that has a picture."""
        return {text: DRAWINGS[text] for text in self.texts if text in DRAWINGS}


def _old_database(office: Office, emulator: Emulator) -> None:
    if office.is_on_server:
        return  # there is none: it is made by whoever opens it first
    write_legacy(
        office.path,
        documents=[(1, "", "{}", 1.0)],
        chunks=[(1, 1, 0, "an old text", "{}", None, 1.0)],
    )


def _good_day(office: Office) -> None:
    office.save(["one", "two"])
    office.flush()
    office.flush()
    office.sync()
    office.back_up()


def _refuse_once(office: Office, emulator: Emulator) -> None:
    emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Reply(code=400)))


def _flush_twice_and_sync(office: Office) -> None:
    office.save(["one", "two"])
    office.flush()
    office.flush()
    office.sync()


def _lose_replies(office: Office, emulator: Emulator) -> None:
    """The first create never arrives; the answer to the second never comes."""
    emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Drop()))
    emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Drop(after=True), skip=1))


def _find_out(office: Office) -> None:
    office.save(["one", "two", "three"])
    office.flush()
    office.flush()
    office.sync()
    office.clock.advance(CONFIG.listing_grace + 1)
    office.sync()
    office.flush()
    office.sync()


def _hide_a_job(office: Office, emulator: Emulator) -> None:
    """It is created, nobody is told, and it is listed only long after it was given up."""
    emulator.add_fault(FaultRule(effect=HideJob(seconds=2.5 * CONFIG.listing_grace)))
    emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Drop(after=True)))


def _give_it_up(office: Office) -> None:
    office.save(["one", "two"])
    office.flush()
    for _ in range(3):
        office.sync()
        office.clock.advance(CONFIG.listing_grace + 1)
    office.flush()
    office.sync()


def _leave_a_claim(office: Office, emulator: Emulator) -> None:
    office.store.save([Chunk(id="one", text="one")])
    claim_job(office.store, fingerprint=office.manager().context().fingerprint)
    office.clock.advance(CONFIG.lease + 1)


def _forget_a_job(office: Office, emulator: Emulator) -> None:
    office.store.save([Chunk(id="one", text="one"), Chunk(id="two", text="two")])
    office.upload_job(["one"])


def _spoil_lines_and_a_job(office: Office, emulator: Emulator) -> None:
    emulator.add_fault(FaultRule(effect=FailLines(code=503, lines=Lines(containing="shy"))))
    emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_FAILED"), skip=1))


def _flush_all_and_sync(office: Office) -> None:
    office.save(["shy one", "two", "three"])
    office.flush()
    office.flush()
    office.sync()


def _keep_running(office: Office, emulator: Emulator) -> None:
    emulator.add_fault(FaultRule(effect=StickJob()))


def _change_ones_mind(office: Office) -> None:
    office.save(["one"])
    job_id = office.flush()
    if job_id is not None:
        office.attempt(lambda: office.manager().cancel(job_id))
    office.flush()
    office.sync()


def _save_given(office: Office, emulator: Emulator) -> None:
    office.save_given()


def _search(office: Office) -> None:
    office.save(["one"])
    office.search_given()
    office.flush()
    office.sync()


def _make_target(office: Office, emulator: Emulator) -> None:
    office.target.path.touch()


def _deliver(office: Office) -> None:
    office.save(["one", "two", "three"])
    office.flush()
    office.flush()
    office.sync()
    office.store.save([Chunk(id="two", text="two", metadata={"text": "two"}, payload="edited")])
    office.sync()


def _draw(office: Office, emulator: Emulator) -> None:
    office.store.collection("default", PICTURE_SPEC)
    for name in ("kept.png", "changed.png", "gone.png"):
        office.draw(name)


def _send_pictures(office: Office) -> None:
    office.save([*DRAWINGS])
    office.draw("changed.png", 1)
    office.lose("gone.png")
    for _ in range(3):
        office.flush()
    office.sync()


def _draw_again(office: Office) -> None:
    """The lost file is found; another changed once more, after it was claimed perhaps."""
    office.draw("gone.png")
    office.draw("changed.png", 2)
    office.manager().retry_failed()


CHAPTERS = {
    "good day": Chapter(("an old text", "one", "two"), _good_day, _old_database),
    "refusal": Chapter(("one", "two"), _flush_twice_and_sync, _refuse_once),
    "lost replies": Chapter(("one", "two", "three"), _find_out, _lose_replies),
    "late job": Chapter(("one", "two"), _give_it_up, _hide_a_job),
    "left claim": Chapter(("one", "two"), _flush_twice_and_sync, _leave_a_claim),
    "forgotten job": Chapter(("one", "two"), _flush_twice_and_sync, _forget_a_job),
    "bad results": Chapter(
        ("shy one", "two", "three"), _flush_all_and_sync, _spoil_lines_and_a_job
    ),
    "cancel": Chapter(("one",), _change_ones_mind, _keep_running),
    "index": Chapter(("one",), _search, _save_given),
    "delivery": Chapter(("one", "two", "three"), _deliver, _make_target),
    "pictures": Chapter(
        tuple(DRAWINGS), _send_pictures, _draw, spec=PICTURE_SPEC, mend=_draw_again
    ),
}
