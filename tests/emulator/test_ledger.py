from __future__ import annotations

from batch_emulator import (
    Damage,
    DamageLines,
    Emulator,
    EndJob,
    FailLines,
    FaultRule,
    Lines,
    TextKey,
    count_tokens,
    text_sha256,
)
from support.keys import canary
from support.raw_api import MODEL, RawApi, jsonl, line

LINES = [line("a", "alpha", taskType="RETRIEVAL_DOCUMENT"), line("b", "beta beta")]


def test_a_text_is_billed_under_its_settings(emulator: Emulator, api: RawApi) -> None:
    job = api.create(LINES)
    alpha = TextKey(text_sha256("alpha"), MODEL, 8, "RETRIEVAL_DOCUMENT")
    beta = TextKey(text_sha256("beta beta"), MODEL, 8, None)
    assert emulator.ledger.billed() == {alpha: 1, beta: 1}
    assert emulator.ledger.tokens() == count_tokens("alpha") + count_tokens("beta beta")
    first, second = emulator.ledger.entries(job=job)
    assert (first.key, first.line, first.job) == (alpha, 0, job)
    assert (second.key, second.line) == (beta, 1)
    assert emulator.ledger.overbilled() == {}


def test_paying_twice_shows(emulator: Emulator, api: RawApi) -> None:
    for name in ("one", "two"):
        api.create(LINES, display_name=name)
    assert set(emulator.ledger.billed().values()) == {2}
    assert set(emulator.ledger.overbilled().values()) == {1}
    assert emulator.ledger.times_billed("alpha") == 2
    assert emulator.ledger.creates() == {"one": 1, "two": 1}


def test_other_settings_are_another_purchase(emulator: Emulator, api: RawApi) -> None:
    api.create([line("a", "alpha"), line("b", "alpha", outputDimensionality=16)])
    assert emulator.ledger.overbilled() == {}
    assert emulator.ledger.times_billed("alpha") == 2


def test_paying_again_for_what_was_lost_is_excused(emulator: Emulator, api: RawApi) -> None:
    effect = DamageLines(damage=Damage.NAN, lines=Lines(keys=("a",)))
    emulator.add_fault(FaultRule(effect=effect))
    for name in ("one", "two"):
        api.get(api.create(LINES[:1], display_name=name))
    assert emulator.ledger.times_billed("alpha") == 2
    assert emulator.ledger.lost().total() == 1
    assert emulator.ledger.overbilled() == {}


def test_what_was_not_embedded_is_not_billed(emulator: Emulator, api: RawApi) -> None:
    emulator.add_fault(FaultRule(effect=FailLines(code=503, lines=Lines(keys=("a",)))))
    api.get(api.create(LINES))
    emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_FAILED")))
    api.get(api.create(LINES))
    assert emulator.ledger.times_billed("alpha") == 0
    assert emulator.ledger.times_billed("beta beta") == 1
    assert set(emulator.ledger.submitted().values()) == {2}


def test_live_calls_are_told_apart(emulator: Emulator, api: RawApi) -> None:
    api.post_embed("alpha", "alpha", outputDimensionality=8)
    api.create(LINES)
    assert emulator.ledger.billed(live=True).total() == 2
    assert emulator.ledger.billed(live=False).total() == 2
    assert emulator.ledger.billed().total() == 4
    assert emulator.ledger.overbilled() == {}, "asking live twice is the caller's choice"
    assert emulator.ledger.tokens(live=True) == 2 * count_tokens("alpha")


def test_projects_are_billed_apart(emulator: Emulator, api: RawApi) -> None:
    api.create(LINES)
    with RawApi(emulator.url, canary("another")) as other:
        other.post_create(other.upload(jsonl(LINES)))
    assert len({one.project for one in emulator.ledger.entries()}) == 2
