"""Saving with live vectors: checked first, paid for once, and nothing lost to a later failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from batch_emulator import Delay, FaultRule, ModelInfo, Operation, Reply, count_tokens
from semantic_core import (
    Chunk,
    Document,
    DuplicateIdError,
    EmbeddingSpec,
    EmbeddingStatus,
    GeminiEmbedder,
    IngestError,
    Media,
    PeeweeVectorStore,
    ProviderUnavailableError,
    SemanticCore,
    Splitter,
    save_embedded,
)
from semantic_core.documents.splitter import Piece
from semantic_core.queue.live_claims import claim_live, free_live
from semantic_core.store.writing.vectors import space_of
from support.chunks import count_vectors, embed
from support.clock import ManualClock
from support.pictures import pdf, picture
from support.targets import FileTarget
from support.world import World, open_world

READY, PENDING, FAILED = EmbeddingStatus.READY, EmbeddingStatus.PENDING, EmbeddingStatus.FAILED


def test_chunks_are_ready_at_once(world: World) -> None:
    report = save_embedded(
        world.store,
        [Chunk(id="a", text="one"), Chunk(id="b", text="two")],
        embedder=world.embedder(),
    )
    assert (report.ids, report.ready) == (("a", "b"), 2)


def test_a_known_text_costs_nothing(world: World) -> None:
    for chunk_id in ("a", "b"):
        save_embedded(world.store, [Chunk(id=chunk_id, text="one")], embedder=world.embedder())
    assert world.emulator.ledger.times_billed("one") == 1


def test_what_only_a_target_has_costs_nothing_as_it_is(world: World, tmp_path: Path) -> None:
    target = FileTarget(tmp_path / "target.db")
    world.store.delivery.attach(target, name="one", keep_vectors=False)

    def save(*chunks: Chunk) -> None:
        save_embedded(world.store, chunks, embedder=world.embedder())
        world.store.delivery.deliver()

    save(Chunk(id="a", text="one"))
    save(Chunk(id="a", text="one"))
    assert count_vectors(world.store) == 1  # what stands for those that are not here
    assert world.emulator.ledger.times_billed("one") == 1
    # With other metadata, or under another id, it needs its vector.
    save(Chunk(id="a", text="one", metadata={"n": 1}))
    save(Chunk(id="a", text="one", metadata={"n": 1}), Chunk(id="b", text="one"))
    assert world.emulator.ledger.times_billed("one") == 3
    assert [(id_, metadata) for id_, _, metadata, _ in target.held()] == [
        ("a", "{'n': 1}"),
        ("b", "{}"),
    ]


def test_the_vector_source_is_what_is_embedded(world: World) -> None:
    """Be it given as a field or in the metadata."""
    chunks = [
        Chunk(text="one", vector_source="Title\n\none"),
        Chunk(text="two", metadata={"_vector_source": "Title\n\ntwo"}),
    ]
    assert save_embedded(world.store, chunks, embedder=world.embedder()).ready == 2
    assert world.emulator.ledger.times_billed("Title\n\none") == 1
    assert world.emulator.ledger.times_billed("Title\n\ntwo") == 1
    assert world.emulator.ledger.times_billed("one") == 0


def test_a_text_in_flight_waits_for_its_job(world: World) -> None:
    world.save("one")
    world.manager().flush_queue()
    report = save_embedded(world.store, [Chunk(id="b", text="one")], embedder=world.embedder())
    assert report.pending == 1
    assert world.emulator.calls(Operation.EMBED) == []


def test_given_vectors_and_failed_chunks_are_saved_as_they_are(world: World) -> None:
    chunks = [
        Chunk(text="given", vector=[1.0] * 768),
        Chunk(text="", embedding_status=EmbeddingStatus.FAILED, error_message="blank"),
    ]
    report = save_embedded(world.store, chunks, embedder=world.embedder())
    assert (report.ready, report.failed) == (1, 1)
    assert world.emulator.calls(Operation.EMBED) == []


def test_what_cannot_be_saved_is_not_sent(world: World) -> None:
    with pytest.raises(DuplicateIdError):
        save_embedded(
            world.store,
            [Chunk(id="a", text="one"), Chunk(id="a", text="two")],
            embedder=world.embedder(),
        )
    assert world.emulator.calls(Operation.EMBED) == []
    assert world.store.chunks() == []


def test_vectors_that_came_before_a_failure_are_kept(world: World) -> None:
    """The next try pays only for the rest."""
    world.emulator.add_fault(
        FaultRule(operation=Operation.EMBED, effect=Reply(code=500), skip=1, times=None)
    )
    chunks = [Chunk(id=f"c{number}", text=f"text {number}") for number in range(150)]
    with pytest.raises(ProviderUnavailableError):
        save_embedded(world.store, chunks, embedder=world.embedder())
    assert world.store.chunks() == []
    assert count_vectors(world.store) == 100
    world.emulator.clear_faults()
    assert save_embedded(world.store, chunks, embedder=world.embedder()).ready == 150
    assert not world.emulator.ledger.overbilled()


# --- a text that somebody else is embedding ------------------------------------------------


def take_claim(world: World, *texts: str, lease: float = 300.0) -> str:
    """Claim texts as another process does whose live call is under way."""
    spec = world.store.collection().spec
    with world.store.database.transaction() as connection:
        now = world.clock.now()
        claimed = claim_live(
            connection,
            [spec.hasher()(text) for text in texts],
            space_id=space_of(connection, spec),
            token="another",
            now=now,
            until=now + lease,
        )
    assert len(claimed) == len(texts)
    return "another"


def free_claim(world: World, token: str) -> None:
    with world.store.database.transaction() as connection:
        free_live(connection, token=token)


class OthersGoOn(ManualClock):
    """Lets something happen elsewhere while this process sleeps."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self._meanwhile: Callable[[], object] | None = meanwhile

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            meanwhile()


def test_a_flush_leaves_out_what_is_embedded_live(world: World) -> None:
    """The text waits on, and goes with a later job if the live call brought nothing."""
    world.save("one", "two")
    token = take_claim(world, "one")
    manager = world.manager()
    assert manager.flush_queue() is not None
    assert manager.get_queue_stats().waiting == 1
    assert manager.flush_queue() is None
    free_claim(world, token)
    assert manager.flush_queue() is not None
    manager.sync_status()
    assert world.emulator.ledger.billed().total() == 2
    assert not world.emulator.ledger.overbilled()


def test_a_live_call_and_a_flush_at_one_moment_bill_a_text_once(world: World) -> None:
    """Whichever is first: here a flush comes while the live request is under way."""
    world.save("one", "two")
    flushed: list[str | None] = []
    embedder = world.embedder()
    send = embedder.embed_in_parts

    class Flushing(GeminiEmbedder):
        def embed_in_parts(self, *args: Any, **options: Any) -> Any:
            flushed.append(world.manager().flush_queue())
            yield from send(*args, **options)

    live = Flushing(world.keyring(), endpoint=embedder.endpoint, clock=world.clock)
    report = save_embedded(world.store, [Chunk(id="b", text="one")], embedder=live)
    assert report.ready == 1
    assert flushed != [None]
    world.manager().sync_status()
    assert set(world.statuses().values()) == {READY}
    assert world.emulator.ledger.times_billed("one") == 1
    assert not world.emulator.ledger.overbilled()


def test_two_live_calls_at_one_moment_bill_a_text_once(world: World, tmp_path: Path) -> None:
    """The second waits for the first, in another thread with a connection of its own."""
    world.emulator.add_fault(FaultRule(operation=Operation.EMBED, effect=Delay(seconds=0.5)))
    with ThreadPoolExecutor(2) as pool:
        stores = [PeeweeVectorStore(tmp_path / "world.db") for _ in range(2)]
        reports = list(
            pool.map(
                lambda store: save_embedded(
                    store, [Chunk(text=f"text {n}") for n in range(5)], embedder=world.embedder()
                ),
                stores,
            )
        )
        for store in stores:
            store.close()
    assert [report.ready for report in reports] == [5, 5]
    assert not world.emulator.ledger.overbilled()


def test_what_another_live_call_brings_is_waited_for(world: World) -> None:
    spec = world.store.collection().spec
    token = take_claim(world, "one")

    def finish() -> None:
        embed(world.store, "one", spec=spec)
        free_claim(world, token)

    with PeeweeVectorStore(world.path, clock=OthersGoOn(finish)) as store:
        report = save_embedded(
            store, [Chunk(text="one"), Chunk(text="two")], embedder=world.embedder()
        )
    assert report.ready == 2
    assert world.emulator.ledger.times_billed("one") == 0
    assert world.emulator.ledger.times_billed("two") == 1


def test_what_another_live_call_gives_up_is_embedded_here(world: World) -> None:
    token = take_claim(world, "one")
    clock = OthersGoOn(lambda: free_claim(world, token))
    with PeeweeVectorStore(world.path, clock=clock) as store:
        assert save_embedded(store, [Chunk(text="one")], embedder=world.embedder()).ready == 1
    assert world.emulator.ledger.times_billed("one") == 1


def test_a_claim_of_a_dead_process_ends_with_its_lease(world: World) -> None:
    """Live and in the queue."""
    world.save("one", "two")
    take_claim(world, "one", "two", lease=300.0)
    assert world.manager().flush_queue() is None
    report = save_embedded(world.store, [Chunk(id="b", text="one")], embedder=world.embedder())
    assert report.ready == 1
    assert 300 <= sum(world.clock.slept) < 310
    assert world.manager().flush_queue() is not None


def test_a_text_that_a_flush_takes_while_it_is_waited_for_goes_with_the_job(world: World) -> None:
    """The report says so: it is PENDING."""
    world.save("one")
    token = take_claim(world, "one")

    def flush() -> None:
        free_claim(world, token)
        world.manager().flush_queue()

    with PeeweeVectorStore(world.path, clock=OthersGoOn(flush)) as store:
        report = save_embedded(store, [Chunk(id="b", text="one")], embedder=world.embedder())
    assert report.pending == 1
    assert world.emulator.calls(Operation.EMBED) == []


def test_a_process_that_slept_past_its_lease_sends_nothing(world: World) -> None:
    """Here between claim and request; another one embeds the text meanwhile."""
    embedder = world.embedder()
    send = embedder.embed_in_parts
    slept: list[int] = []

    class Sleepy(GeminiEmbedder):
        def embed_in_parts(self, *args: Any, **options: Any) -> Any:
            if not slept:
                slept.append(1)
                world.clock.advance(10_000)
                with PeeweeVectorStore(world.path, clock=world.clock) as store:
                    save_embedded(store, [Chunk(text="one")], embedder=world.embedder())
            yield from send(*args, **options)

    sleepy = Sleepy(world.keyring(), endpoint=embedder.endpoint, clock=world.clock)
    assert save_embedded(world.store, [Chunk(text="one")], embedder=sleepy).ready == 1
    assert world.emulator.ledger.times_billed("one") == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, ProviderUnavailableError])
def test_claims_are_freed_whatever_happens(world: World, error: type[BaseException]) -> None:
    class Failing(GeminiEmbedder):
        def embed_in_parts(self, *_: Any, **__: Any) -> Any:
            assert world.query("SELECT count(*) FROM live_claims") == [(1,)]
            raise error

    failing = Failing(world.keyring(), endpoint=world.embedder().endpoint)
    with pytest.raises(error):
        save_embedded(world.store, [Chunk(text="one")], embedder=failing)
    assert world.query("SELECT count(*) FROM live_claims") == [(0,)]


def test_a_stored_vector_is_served_and_not_sent(world: World) -> None:
    """The claim asks the cache once more, whatever a chunk says."""
    world.save("one", "two")
    with world.store.database.transaction() as connection:
        connection.execute(
            "INSERT INTO embeddings (content_id, space_id, vector, origin, created_at) "
            "SELECT content_id, 1, zeroblob(3072), 'live', 0 FROM chunks WHERE chunk_id = 'c0'"
        )
    manager = world.manager()
    batch_id = manager.flush_queue()
    assert [job.request_count for job in manager.jobs()] == [1]
    assert batch_id is not None
    assert world.statuses() == {"c0": READY, "c1": PENDING}
    assert manager.flush_queue() is None


# --- texts that the model does not take ------------------------------------------------------

LONG = "too many words " * 1_000


def test_a_text_that_is_too_long_fails_alone(world: World) -> None:
    """The group is refused as a whole, which costs nothing; the others are paid for once."""
    texts = [f"text {number}" for number in range(9)]
    chunks = [Chunk(id=text[:20], text=text) for text in [*texts[:5], LONG, *texts[5:]]]
    report = save_embedded(world.store, chunks, embedder=world.embedder())
    assert (report.ready, report.failed) == (9, 1)
    assert (world.chunk(LONG[:20]).error_message or "").startswith(
        "too long for gemini-embedding-001"
    )
    assert world.emulator.ledger.billed().total() == 9
    assert not world.emulator.ledger.overbilled()


def test_a_refused_group_is_halved_until_the_guilty_text_stands_alone(world: World) -> None:
    """Where nothing shows before that it is too long: 2,400 tokens of one letter each."""
    dense = "a " * 2_400
    chunks = [Chunk(id=f"{n}", text=f"text {n}") for n in range(30)]
    chunks.insert(17, Chunk(id="dense", text=dense))
    report = save_embedded(world.store, chunks, embedder=world.embedder())
    assert (report.ready, report.failed) == (30, 1)
    assert world.chunk("dense").status is FAILED
    assert not world.emulator.ledger.overbilled()


def test_what_was_refused_once_is_not_sent_again(world: World) -> None:
    """Live, under another id, or by a batch."""
    save_embedded(world.store, [Chunk(id="a", text=LONG)], embedder=world.embedder())
    calls = len(world.emulator.calls(Operation.EMBED))
    assert (
        save_embedded(
            world.store,
            [Chunk(id="a", text=LONG), Chunk(id="b", text=LONG)],
            embedder=world.embedder(),
        ).failed
        == 2
    )
    assert world.store.save([Chunk(id="c", text=LONG)]).failed == 1
    assert len(world.emulator.calls(Operation.EMBED)) == calls
    assert world.manager().flush_queue() is None


def test_a_waiting_text_that_is_refused_live_is_not_sent_by_a_flush(world: World) -> None:
    world.save(LONG)
    save_embedded(world.store, [Chunk(id="b", text=LONG)], embedder=world.embedder())
    assert world.statuses() == {"c0": FAILED, "b": FAILED}
    assert world.manager().flush_queue() is None


def test_a_vector_of_only_the_beginning_is_never_stored(tmp_path: Path) -> None:
    """Live and by batch: the provider embeds what it takes, and counts its limit."""
    models = {"gemini-embedding-001": ModelInfo(token_limit=2048, truncates=True)}
    with open_world(tmp_path, models=models) as world:
        report = save_embedded(
            world.store, [Chunk(text=LONG), Chunk(text="good")], embedder=world.embedder()
        )
        assert (report.ready, report.failed) == (1, 1)
        other = LONG + "otherwise"
        world.save(other, "fine")
        manager = world.manager()
        manager.flush_queue()
        manager.sync_status()
        assert world.statuses()["c0"] is FAILED
        assert "only its beginning" in (world.chunk("c0").error_message or "")
        assert count_vectors(world.store) == 2
        # It was billed, and the receipt says so.
        assert manager.receipt().tokens == 2048 + count_tokens("fine")
        assert not world.emulator.ledger.overbilled()


def test_an_ingested_document_keeps_its_other_chunks(world: World) -> None:
    class Whole(Splitter):
        def split(self, text: str, **_: Any) -> Any:
            return iter([Piece(text=part, heading_path=(), start=0) for part in text.split("|")])

    core = SemanticCore(
        world.store, world.keyring(), embedder=world.embedder(), splitter=Whole(max_chars=1000)
    )
    report = core.ingest(Document(content=f"one|{LONG}|two", id="d"), mode="sync")
    assert (report.documents, report.chunks.ready, report.chunks.failed) == (1, 2, 1)


# --- pictures --------------------------------------------------------------------------------

PICTURES = EmbeddingSpec.gemini_embedding_2(dimensions=256)


def core_for_pictures(world: World) -> SemanticCore:
    world.store.collection("default", PICTURES)
    return SemanticCore(world.store, world.keyring(), embedder=world.embedder())


def test_pictures_and_pages_are_embedded_live(world: World, tmp_path: Path) -> None:
    path = tmp_path / "shoe.png"
    path.write_bytes(picture(1))
    core = core_for_pictures(world)
    documents = [
        Document(id="shoe", content="sneaker", media=Media(path)),
        Document(id="lamp", content="", media=[Media(picture(2)), Media(picture(3))]),
        Document(id="pages", content="", media=Media(pdf("one", "two"))),
        Document(id="text", content="words alone"),
    ]
    for _ in range(2):
        assert core.ingest(documents, mode="sync").chunks.ready == 5
    ledger = world.emulator.ledger
    assert list(ledger.billed(live=True).values()) == [1] * 5
    assert ledger.media_tokens() == 5 * 258
    assert core.search(media=Media(picture(1, size=90)))[0].chunk.document_id == "shoe"
    assert world.manager().flush_queue() is None


def test_a_picture_in_flight_waits_for_its_job(world: World) -> None:
    core = core_for_pictures(world)
    core.ingest(Document(id="a", content="", media=Media(picture(1))))
    world.manager().flush_queue()
    report = core.ingest(Document(id="b", content="", media=Media(picture(1))), mode="sync")
    assert report.chunks.pending == 1
    assert world.emulator.calls(Operation.EMBED) == []


def test_a_picture_that_the_provider_cannot_read_is_refused_by_its_document(world: World) -> None:
    core = core_for_pictures(world)
    broken = picture(9)[:60]
    documents = [Document(id=f"{n}", content="", media=Media(picture(n))) for n in range(5)]
    documents.insert(2, Document(id="broken", content="", media=Media(broken)))
    with pytest.raises(IngestError) as raised:
        core.ingest(documents, mode="sync")
    (rejected,) = raised.value.report.rejected
    assert rejected.name == "document 'broken'"
    assert "Unable to process input image" in rejected.reason
    assert {chunk.status for chunk in world.store.chunks()} == {READY}
    assert list(world.emulator.ledger.billed().values()) == [1] * 5


def test_a_request_carries_no_more_than_the_model_takes(world: World) -> None:
    core = core_for_pictures(world)
    core.ingest(
        [
            Document(content="", media=Media(picture(n) + bytes(6_000_000)))  # after its end
            for n in range(3)
        ],
        mode="sync",
    )
    assert len(world.emulator.calls(Operation.EMBED)) == 2
    assert len(world.emulator.ledger.billed()) == 3


def test_a_file_that_changes_before_it_is_sent_waits_for_a_batch(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "shoe.png"
    path.write_bytes(picture(1))

    def documents() -> Iterator[Document]:
        yield Document(id="shoe", content="", media=Media(path))
        path.write_bytes(picture(2))  # asked for after the file was looked at
        yield Document(id="text", content="words")

    core = core_for_pictures(world)
    report = core.ingest(documents(), mode="sync")
    assert (report.chunks.ready, report.chunks.pending) == (1, 1)
    manager = world.manager()
    manager.flush_queue()
    manager.sync_status()
    assert world.chunk("shoe#0").status is READY
    billed = world.emulator.ledger.billed()
    assert list(billed.values()) == [1, 1]
    found = core.search(media=Media(picture(2, size=90)))
    assert found[0].chunk.document_id == "shoe"
