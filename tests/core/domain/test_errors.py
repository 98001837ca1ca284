from __future__ import annotations

import pickle
import re

import pytest

from semantic_core.domain import errors
from semantic_core.domain.errors import (
    InvalidInputError,
    MissingExtraError,
    RateLimitError,
    SemanticCoreError,
    SubmissionUncertainError,
)

CLASSES: list[type[SemanticCoreError]] = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SemanticCoreError)
]
LEAVES = [kind for kind in CLASSES if not kind.__subclasses__()]

NEXT_STEP = re.compile(
    r"(?:^|[.:;,] )(?:or |and )?(?:build|call|change|check|choose|clean|copy|correct|create|embed|"
    r"free|give|install|keep|look|open|pass|save|see|skip|split|try|upgrade|use|wait)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_docstring_is_the_default_message(kind: type[SemanticCoreError]) -> None:
    """On one line, without the attributes' documentation."""
    message = str(kind())
    assert message.endswith(".")
    assert "\n" not in message
    assert "Attributes:" not in message
    assert message.split(". ", maxsplit=1)[0] in " ".join(str(kind.__doc__).split())
    assert str(kind("another")) == "another"


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_the_default_message_says_what_next(kind: type[SemanticCoreError]) -> None:
    assert NEXT_STEP.search(str(kind())), str(kind())


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_survives_the_way_between_processes(kind: type[SemanticCoreError]) -> None:
    """Worker processes of a pipeline send errors by pickle; the attributes come along."""
    error = kind("what happened")
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is kind
    assert str(copied) == "what happened"
    assert vars(copied) == vars(error)


def test_attributes_survive_too() -> None:
    limited = pickle.loads(pickle.dumps(RateLimitError("slow down", retry_after=7.5)))
    assert (limited.code, limited.retry_after) == (429, 7.5)
    uncertain = pickle.loads(pickle.dumps(SubmissionUncertainError(batch_id="b1")))
    assert uncertain.batch_id == "b1"


def test_errors_are_also_what_python_calls_them() -> None:
    """Code that knows nothing of semcore catches bad input as a ValueError."""
    assert issubclass(InvalidInputError, ValueError)
    assert issubclass(MissingExtraError, ImportError)
