"""Contents by their hashes."""

import itertools

from semantic_core.domain.types import Chunk
from semantic_core.queue.contents import content_ids, note_contents, prune_contents
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, content_hash, contents_of, embed, vector_of
from support.jobs import claim_job
from support.rows import run_sql


def _known(store: PeeweeVectorStore, *texts: str) -> list[str]:
    keys = {bytes.fromhex(content_hash(text)): text for text in texts}
    with store.database.snapshot() as connection:
        return sorted(keys[key] for key in content_ids(connection, list(keys)))


def test_a_content_has_one_number_for_good(store: PeeweeVectorStore) -> None:
    keys = [bytes.fromhex(content_hash(text)) for text in "abca"]
    with store.database.transaction() as connection:
        assert content_ids(connection, keys) == {}
        noted, new = note_contents(connection, keys)
        assert (len(noted), new) == (3, set(noted.values()))
        again, none = note_contents(connection, [*keys, bytes(32)])
        assert none == {again.pop(bytes(32))}
        assert again == noted == content_ids(connection, keys)
        assert note_contents(connection, []) == ({}, set())


def test_numbers_come_in_the_order_of_the_pages(store: PeeweeVectorStore) -> None:
    """Or an index over them would be written at random places, as one over hashes is."""
    store.collection(spec=SPEC)
    pages = [[f"{page} {n}" for n in range(50)] for page in range(4)]
    for page in pages:
        store.save(chunks_of(page))
    numbers = [sorted(contents_of(store, *page).values()) for page in pages]
    assert numbers == sorted(numbers)
    assert all(one[-1] < other[0] for one, other in itertools.pairwise(numbers))


def test_pruning_forgets_what_nothing_names(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)
    store.save(chunks_of(["carried"]))
    claim_job(store)
    store.save(
        [*chunks_of(["waits", "paid", "edited"]), Chunk(text="given", vector=vector_of("given"))]
    )
    embed(store, "paid", "cached")
    store.save([Chunk(id="edited", text="as it is now")])
    texts = ["carried", "waits", "paid", "edited", "given", "cached", "as it is now"]
    assert _known(store, *texts) == sorted(texts)
    with store.database.transaction() as connection:
        prune_contents(connection)
    texts.remove("edited")
    assert _known(store, *texts, "edited") == sorted(texts)
    store.prune(older_than=0)
    texts.remove("cached")
    assert _known(store, *texts, "cached") == sorted(texts)
    store.clear()
    store.prune(older_than=0)
    assert _known(store, *texts) == ["carried"]
    assert run_sql(store, "SELECT count(*) FROM contents") == [(1,)]
