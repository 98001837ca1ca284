"""A result file larger than the memory that is left: streamed, page by page."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch_emulator import Bomb, FaultRule, Garbage, Operation, Reply
from semantic_core.domain.errors import ProviderProtocolError, ProviderUnavailableError
from semantic_core.domain.statuses import EmbeddingStatus
from support.processes import Python
from support.world import World

# Lines of 3,072 numbers: a file of 300 MB.
TEXTS = 5_000

SPARE_MEMORY = 64 << 20

CHILD = """
    import resource
    from pathlib import Path
    import httpx2, orjson
    import numpy as np
    from semantic_core.batches import BatchConfig, BatchManager
    from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
    from semantic_core.queue import jobs
    from semantic_core.domain.spec import EmbeddingSpec
    from semantic_core.domain.statuses import JobStatus, JobStep
    from semantic_core.store import PeeweeVectorStore
    from semantic_core.domain.types import Chunk
    from support.chunks import vector_of
    from support.clock import ManualClock
    from support.jobs import LIMITS, TOKEN, claim_job
    from support.world import make_keyring

    TEXTS, SPARE = {texts}, {spare}
    clock = ManualClock()
    store = PeeweeVectorStore(Path({path!r}), clock=clock)
    spec = EmbeddingSpec(dimensions=3072)
    store.collection(spec=spec)
    texts = [f"text {{number}}" for number in range(TEXTS)]
    for start in range(0, TEXTS, 500):
        page = texts[start : start + 500]
        store.save([Chunk(id=text, text=text) for text in page])
    from dataclasses import replace
    job_id = claim_job(store, limits=replace(LIMITS, requests=TEXTS))
    with store.database.transaction() as connection:
        jobs.move(
            connection, job_id, token=TOKEN, steps=[JobStep.CLAIMED], step=JobStep.SUBMITTED,
            status=JobStatus.SUBMITTED, google_job_id="batches/large",
        )
        jobs.drop_lease(connection, job_id, token=TOKEN)
    display_name = store.stats().open_jobs[0].display_name
    hash_of = spec.hasher()

    class Lines(httpx2.SyncByteStream):
        def __iter__(self):
            numbers = vector_of("any", 3072).tolist()
            for text in texts:
                # Each vector is another one, so that none can be taken for another's.
                numbers[0] = len(text) + int(text[5:]) / TEXTS
                values = {{"values": [float(number) for number in numbers]}}
                line = {{"key": hash_of(text).hex(), "response": {{"embedding": values}}}}
                # As long as the longest spelling of the numbers.
                yield orjson.dumps(line).replace(b",", b",   ") + b"\\n"

    size = sum(len(line) for line in Lines())

    class Provider(httpx2.BaseTransport):
        def handle_request(self, request):
            path = request.url.path
            if path.endswith(":download"):
                return httpx2.Response(200, stream=Lines(), headers={{"content-length": str(size)}})
            if "/files/" in path:
                return httpx2.Response(200, json={{"sizeBytes": str(size)}})
            return httpx2.Response(200, json={{
                "name": "batches/large",
                "metadata": {{
                    "state": "BATCH_STATE_SUCCEEDED", "displayName": display_name,
                    "model": f"models/{{spec.model}}", "output": {{"responsesFile": "files/large"}},
                    "batchStats": {{"successfulRequestCount": str(TEXTS)}},
                }},
            }})

    keyring = make_keyring()
    client = GeminiBatchClient.from_keyring(
        keyring, endpoint=Endpoint(base_url="https://large.invalid"), clock=clock,
        transport=Provider(),
    )
    manager = BatchManager(keyring, store, client=client, clock=clock)
    manager.get_queue_stats()

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE, used + SPARE))
    statuses = manager.sync_status()
    assert list(statuses.values()) == ["COMPLETED"], manager.jobs()
    say(f"{{size}} {{store.stats().ready}}")
    """


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is Linux's")
def test_a_large_result_fits_into_little_memory(tmp_path: Path, python: Python) -> None:
    """C21: rss_cap: by address space, which no allocation can get round"""
    path = tmp_path / "notes.db"
    child = python(CHILD.format(texts=TEXTS, spare=SPARE_MEMORY, path=str(path)))
    size, ready = map(int, child.hear().split())
    child.end()
    assert size > 300_000_000
    assert ready == TEXTS
    assert list(tmp_path.glob("*-batches")) == []


@pytest.mark.parametrize(
    "effect",
    [
        Bomb(size=10 << 30),
        Bomb(size=10 << 30, compressed=False),
        Garbage(body="<html>log in</html>"),
        Garbage(body='{"error": {"code": 500}}', content_type="application/json"),
        Garbage(body=""),
        Reply(code=200, as_text=True),
    ],
    ids=repr,
)
def test_what_is_no_result_is_stored_nowhere_and_the_result_is_taken_later(
    world: World, effect: Bomb | Garbage | Reply
) -> None:
    """C23: bomb_10GB, html_200: by way of the manager"""
    world.save("one", "two")
    manager = world.manager()
    manager.flush_queue()
    operation = None if isinstance(effect, Bomb) else Operation.DOWNLOAD
    world.emulator.add_fault(FaultRule(effect=effect, operation=operation, times=None))
    with pytest.raises((ProviderProtocolError, ProviderUnavailableError)):
        manager.sync_status()
    assert world.query("SELECT count(*) FROM embeddings") == [(0,)]
    assert list(world.folder.glob("*-batches")) == []
    assert set(world.statuses().values()) == {EmbeddingStatus.PENDING}
    world.emulator.clear_faults()
    manager.sync_status()
    assert set(world.statuses().values()) == {EmbeddingStatus.READY}
    assert world.creates() == 1
