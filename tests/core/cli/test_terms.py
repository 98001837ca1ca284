import re
from pathlib import Path

import pytest

import semantic_core
from semantic_core.cli.terms import in_terminal


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            "notes.db exists and was left as it is. Choose another path, or pass overwrite=True.",
            "notes.db exists and was left as it is. Choose another path, or add --overwrite.",
        ),
        (
            "release(batch_id, accept_rebilling=True) sends its texts again.",
            "semcore release JOB --accept-rebilling sends its texts again.",
        ),
        (
            "release(batch_id, accept_rebilling=True), or semcore release 1 --accept-rebilling.",
            "semcore release 1 --accept-rebilling.",
        ),
        ("Call sync_status(): it adopts the job.", "Run semcore sync: it adopts the job."),
        ("Run semcore sync, or call sync_status().", "Run semcore sync."),
        ("2 texts, fewer than min_size=10.", "2 texts, fewer than --min-size 10."),
        (
            "No batch key. Pass GoogleKeyring(batch_key=...) or set GEMINI_BATCH_API_KEY.",
            "No batch key. Set GEMINI_BATCH_API_KEY.",
        ),
        (
            "There is no collection 'a'. Saving into one creates it, and so does store.collection(name).",
            "There is no collection 'a'. semcore ingest --new makes one.",
        ),
        (
            "To change them: store.reindex(name, languages=...) or semcore reindex.",
            "To change them: semcore reindex.",
        ),
        (
            "No price. Pass BatchConfig(prices=...) with its price, or lift it.",
            "No price. Lift it.",
        ),
        ("Its cost (pass BatchConfig(prices=...) to have it there) is.", "Its cost is."),
        (
            "Open it without a spec to use it as it is, or choose another collection: no.",
            "Leave out what makes a collection to use it as it is, or name another with --collection: no.",
        ),
    ],
)
def test_advice_to_a_program_is_said_as_a_command(said: str, meant: str) -> None:
    assert in_terminal(said) == meant


@pytest.mark.parametrize(
    "advice",
    [
        "pass overwrite=True",
        "release(batch_id, accept_rebilling=True)",
        "Pass GoogleKeyring(batch_key=...) or set",
        "Saving into one creates it, and so does",
        "fewer than min_size=",
        "store.reindex(name, languages=...) or semcore reindex",
        "Pass BatchConfig(prices=...) with its price, or lift",
        " (pass BatchConfig(prices=...) to have it there)",
        "Open it without a spec to use it as it is, or choose another collection:",
    ],
)
def test_the_library_still_says_so(advice: str) -> None:
    """Else nothing would be left of it in the terminal's words, and nobody would notice."""
    package = Path(semantic_core.__file__).parent
    written = (path.read_text() for path in package.rglob("*.py") if path.parent.name != "cli")
    spelled = re.compile(re.escape(advice).replace(r"\ ", r'(?: ?"\s+f?"|\s+)'))
    assert any(spelled.search(text) for text in written)
