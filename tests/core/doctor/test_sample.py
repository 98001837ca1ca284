"""A sample of stored vectors against their texts, embedded live again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batch_emulator import FaultRule, Operation, Reply, SwapResults
from semantic_core.doctor import Finding, Trouble, examine
from semantic_core.domain.errors import MissingBatchKeyError, MissingDefaultKeyError
from semantic_core.domain.media import Media
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk
from semantic_core.providers.gemini.keyring import GoogleKeyring
from support.keys import BATCH_KEY, DEFAULT_KEY
from support.pictures import picture
from support.world import CONFIG, World


@pytest.fixture
def embedded(world: World) -> World:
    """A world whose four texts have vectors, two of them each other's."""
    world.emulator.add_fault(FaultRule(effect=SwapResults(first=1, second=2)))
    world.save("The cat sleeps.", "Interest rates rose.", "How to boil an egg.", "Rain at noon.")
    manager = world.manager()
    manager.flush_queue()
    manager.sync_status()
    return world


def found(world: World, sample: int, **options: object) -> dict[Trouble, Finding]:
    manager = world.manager(**options)  # type: ignore[arg-type]
    return {one.trouble: one for one in examine(manager, sample=sample).findings}


def test_vectors_of_other_texts_are_found_and_named(embedded: World) -> None:
    findings = found(embedded, 4)
    wrong = findings[Trouble.WRONG_VECTOR]
    assert wrong.count == 2
    assert "'c1'" in wrong.message
    assert "'c2'" in wrong.message
    assert "4 texts embedded live again, cosines 0.0" in findings[Trouble.SPOT_CHECK].message
    assert not wrong.is_note


def test_good_vectors_are_healthy_and_the_price_is_told(world: World) -> None:
    world.save("one", "two", "three")
    manager = world.manager()
    manager.flush_queue()
    manager.sync_status()
    examination = examine(manager, sample=2)
    assert examination.is_healthy
    (note,) = examination.findings
    assert note.message == "2 texts embedded live again, cosines 1.000 to 1.000, and paid for."
    assert manager.receipt().check_tokens in (2, 3)  # "three" has five letters
    assert world.emulator.ledger.billed().total() == 3 + 2


def test_pictures_are_compared_as_they_were_sent(world: World) -> None:
    world.store.collection(spec=EmbeddingSpec.gemini_embedding_2(dimensions=256))
    captions = ("", "a red shoe")
    world.store.save([Chunk(text=text, media=Media(picture(1))) for text in captions])
    manager = world.manager()
    manager.flush_queue()
    manager.sync_status()
    examination = examine(manager, sample=2)
    assert examination.is_healthy
    (note,) = examination.findings
    assert note.message == "2 texts embedded live again, cosines 1.000 to 1.000, and paid for."


def test_without_a_sample_nothing_is_sent(embedded: World) -> None:
    assert Trouble.SPOT_CHECK not in found(embedded, 0)
    assert embedded.emulator.calls(Operation.EMBED) == []


def test_every_space_is_sampled_with_its_own_model(world: World) -> None:
    world.save("one")
    world.store.collection("other", EmbeddingSpec.gemini_embedding_2())
    world.store.save([Chunk(text="one")], collection="other")
    world.store.save([Chunk(text="given", vector=[1.0] * 768)])
    manager = world.manager()
    for _ in range(2):
        manager.flush_queue()
    manager.sync_status()
    assert found(world, 10)[Trouble.SPOT_CHECK].count == 2


def test_the_monthly_budget_holds(embedded: World) -> None:
    spent = embedded.manager().receipt().batch_usd or 0.0
    config = replace(CONFIG, monthly_budget_usd=spent + 1e-9)
    findings = found(embedded, 4, config=config)
    assert "would pass monthly_budget_usd" in findings[Trouble.NOT_LOOKED].message
    assert embedded.emulator.calls(Operation.EMBED) == []


def test_a_live_call_that_fails_is_told(embedded: World) -> None:
    embedded.emulator.add_fault(
        FaultRule(operation=Operation.EMBED, effect=Reply(code=403), times=None)
    )
    assert "could not all be checked" in found(embedded, 4)[Trouble.NOT_LOOKED].message


def test_a_sample_needs_both_keys_before_anything_is_read(embedded: World) -> None:
    manager = embedded.manager()
    manager.keyring = GoogleKeyring(batch_key=BATCH_KEY)
    with pytest.raises(MissingDefaultKeyError):
        examine(manager, sample=1)
    manager.keyring = GoogleKeyring(default_key=DEFAULT_KEY)
    with pytest.raises(MissingBatchKeyError):
        examine(manager, sample=1)
