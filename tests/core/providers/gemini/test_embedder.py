"""Live embedding: one vector a text, in order, checked, or an error."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import numpy as np
import pytest

from batch_emulator import Emulator, fake_embed
from semantic_core.domain.errors import (
    AuthError,
    BlankTextError,
    InvalidTextError,
    MissingDefaultKeyError,
    NotBatchableError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RateLimitError,
    RequestRefusedError,
    TextTooLongError,
)
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.gemini.embedder import GROUP_SIZE, GeminiEmbedder
from semantic_core.providers.gemini.endpoint import Endpoint
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.providers.wire.vectors import normalize
from support.clock import ManualClock
from support.keys import DEFAULT_KEY, canary
from support.wire import Answer, ScriptedTransport, answer, refusal

KEY = canary("4711")
HOST = "https://generativelanguage.googleapis.com"
KEYRING = GoogleKeyring(default_key=KEY, batch_key=canary("batch"))
SPEC = EmbeddingSpec(dimensions=3)
SPEC_768 = EmbeddingSpec()

Connect = Callable[..., tuple[GeminiEmbedder, ScriptedTransport]]


@pytest.fixture
def connect(clock: ManualClock) -> Iterator[Connect]:
    embedders = []

    def build(*answers: Answer) -> tuple[GeminiEmbedder, ScriptedTransport]:
        transport = ScriptedTransport(*answers)
        embedder = GeminiEmbedder(
            KEYRING, endpoint=Endpoint(base_url=HOST), clock=clock, transport=transport
        )
        embedders.append(embedder)
        return embedder, transport

    yield build
    for embedder in embedders:
        embedder.close()


def vectors(*values: list[Any]) -> httpx2.Response:
    return answer({"embeddings": [{"values": one} for one in values]})


def numbered(request: httpx2.Request) -> httpx2.Response:
    """Answer each text "t<n>" with a vector that tells n."""
    requests = json.loads(b"".join(request.stream))["requests"]
    texts = [one["content"]["parts"][0]["text"] for one in requests]
    return vectors(*([float(text[1:]) + 1, 1.0, 0.0] for text in texts))


def test_a_query_is_sent_with_its_task_and_size(connect: Connect) -> None:
    embedder, transport = connect(vectors([3, 4, 0]))
    vector = embedder.embed_query("where?", spec=SPEC)
    (sent,) = transport.sent
    assert (sent.method, sent.url) == (
        "POST",
        f"{HOST}/v1beta/models/gemini-embedding-001:batchEmbedContents",
    )
    (request,) = sent.json["requests"]
    assert request["content"]["parts"] == [{"text": "where?"}]
    assert request["taskType"] == "RETRIEVAL_QUERY"
    assert request["outputDimensionality"] == 3
    assert sent.headers["x-goog-api-key"] == KEY
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, [0.6, 0.8, 0.0], rtol=1e-6)


def test_documents_are_sent_with_their_task_one_content_each(connect: Connect) -> None:
    embedder, transport = connect(vectors([1, 0, 0], [0, 2, 0]))
    result = embedder.embed_documents(["a", "b"], spec=SPEC)
    requests = transport.sent[0].json["requests"]
    assert [one["content"]["parts"] for one in requests] == [[{"text": "a"}], [{"text": "b"}]]
    assert {one["taskType"] for one in requests} == {"RETRIEVAL_DOCUMENT"}
    np.testing.assert_array_equal(result, [[1, 0, 0], [0, 1, 0]])


def test_a_model_without_tasks_gets_its_templates(connect: Connect) -> None:
    """And one content each, or all texts would become one vector."""
    spec = EmbeddingSpec.gemini_embedding_2(dimensions=3)
    embedder, transport = connect(vectors([1, 0, 0], [0, 1, 0]), vectors([1, 0, 0]))
    embedder.embed_documents(["a", "b"], spec=spec)
    embedder.embed_query("where?", spec=spec)
    documents, query = (sent.json["requests"] for sent in transport.sent)
    assert [one["content"]["parts"][0]["text"] for one in documents] == [
        "title: none | text: a",
        "title: none | text: b",
    ]
    assert query[0]["content"]["parts"] == [{"text": "task: search result | query: where?"}]
    assert "taskType" not in documents[0]
    assert "taskType" not in query[0]


def test_many_documents_go_in_groups_and_keep_their_order(connect: Connect) -> None:
    embedder, transport = connect(numbered, numbered, numbered)
    texts = [f"t{number}" for number in range(2 * GROUP_SIZE + 1)]
    result = embedder.embed_documents(texts, spec=EmbeddingSpec(dimensions=3, normalized=False))
    assert [len(sent.json["requests"]) for sent in transport.sent] == [GROUP_SIZE, GROUP_SIZE, 1]
    assert result[:, 0].tolist() == [number + 1 for number in range(2 * GROUP_SIZE + 1)]


def test_nothing_is_sent_for_no_documents(connect: Connect) -> None:
    embedder, transport = connect()
    assert embedder.embed_documents([], spec=SPEC).shape == (0, 3)
    assert transport.sent == []


def test_vectors_stay_as_they_are_where_the_spec_says_so(connect: Connect) -> None:
    embedder, _ = connect(vectors([3, 4, 0]))
    vector = embedder.embed_query("q", spec=EmbeddingSpec(dimensions=3, normalized=False))
    assert vector.tolist() == [3, 4, 0]


@pytest.mark.parametrize(
    "odd",
    [
        vectors([1, 0, 0]),
        vectors([1, 0, 0], [0, 1, 0], [0, 0, 1]),
        vectors([1, 0, 0], [0, 1]),
        vectors([1, 0, 0], [0, 0, 0]),
        vectors([1, 0, 0], [1e39, 0, 0]),
        vectors([1, 0, 0], []),
        answer(b'{"embeddings":[{"values":[1,0,0]},{"values":[NaN,0,0]}]}'),
        answer({"embeddings": [{"values": [1, 0, 0]}, {}]}),
        answer({"embeddings": [{"values": [1, 0, 0]}, {"values": "abc"}]}),
        answer({"embeddings": {"values": [1, 0, 0]}}),
        answer({}),
        answer(b"<html>"),
    ],
)
def test_an_odd_answer_is_refused_whole(connect: Connect, odd: httpx2.Response) -> None:
    """A count that does not fit leaves open whose vector is whose."""
    embedder, transport = connect(odd)
    with pytest.raises(ProviderProtocolError):
        embedder.embed_documents(["private one", "private two"], spec=SPEC)
    assert len(transport.sent) == 1


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_blank_text_is_not_sent(connect: Connect, text: str) -> None:
    embedder, transport = connect()
    with pytest.raises(BlankTextError, match="Text 1"):
        embedder.embed_documents(["fine", text], spec=SPEC)
    with pytest.raises(BlankTextError, match="The query"):
        embedder.embed_query(text, spec=SPEC)
    assert transport.sent == []


def test_a_text_without_utf8_form_is_not_sent(connect: Connect) -> None:
    embedder, transport = connect()
    with pytest.raises(InvalidTextError):
        embedder.embed_query("\ud800", spec=SPEC)
    assert transport.sent == []


def test_a_foreign_space_cannot_be_asked_for(connect: Connect) -> None:
    embedder, transport = connect()
    with pytest.raises(NotBatchableError, match="theirs"):
        embedder.embed_query("q", spec=EmbeddingSpec.external("theirs", 3))
    assert transport.sent == []


# --- trying again ----------------------------------------------------------------------


def busy(seconds: float | None = None) -> httpx2.Response:
    details = [] if seconds is None else [{"retryDelay": f"{seconds}s"}]
    return refusal(429, "RESOURCE_EXHAUSTED", "quota", *details)


def test_documents_wait_for_a_quota_as_long_as_it_asks(
    connect: Connect, clock: ManualClock
) -> None:
    embedder, transport = connect(busy(27), answer({}, code=503), vectors([1, 0, 0]))
    embedder.embed_documents(["a"], spec=SPEC)
    assert clock.slept == [27.0, 2.0]
    assert len(transport.sent) == 3


def test_only_the_group_that_failed_is_sent_again(connect: Connect) -> None:
    embedder, transport = connect(numbered, busy(), numbered)
    embedder.embed_documents([f"t{number}" for number in range(GROUP_SIZE + 1)], spec=SPEC)
    assert [len(sent.json["requests"]) for sent in transport.sent] == [GROUP_SIZE, 1, 1]


def test_documents_are_given_up_after_a_few_tries(connect: Connect, clock: ManualClock) -> None:
    embedder, transport = connect(*[answer({}, code=503) for _ in range(9)])
    with pytest.raises(ProviderUnavailableError):
        embedder.embed_documents(["a"], spec=SPEC)
    assert len(transport.sent) == 5
    assert sum(clock.slept) == 15.0


def test_a_query_is_tried_twice_and_does_not_wait_long(
    connect: Connect, clock: ManualClock
) -> None:
    """Somebody is waiting, and search can answer by keyword."""
    embedder, transport = connect(*[answer({}, code=503) for _ in range(9)])
    with pytest.raises(ProviderUnavailableError):
        embedder.embed_query("q", spec=SPEC)
    assert len(transport.sent) == 2
    assert clock.slept == [0.5]


def test_a_query_leaves_a_long_wait_to_the_caller(connect: Connect, clock: ManualClock) -> None:
    embedder, transport = connect(busy(27))
    with pytest.raises(RateLimitError) as caught:
        embedder.embed_query("q", spec=SPEC)
    assert caught.value.retry_after == 27.0
    assert len(transport.sent) == 1
    assert clock.slept == []


def test_a_query_does_not_hang(clock: ManualClock) -> None:
    timeouts = []

    def note(request: httpx2.Request) -> httpx2.Response:
        timeouts.append(request.extensions["timeout"]["read"])
        return vectors([1, 0, 0])

    for endpoint in (Endpoint(base_url=HOST), Endpoint(base_url=HOST, timeout=3.0)):
        with GeminiEmbedder(
            KEYRING, endpoint=endpoint, clock=clock, transport=ScriptedTransport(note, note)
        ) as embedder:
            embedder.embed_query("q", spec=SPEC)
            embedder.embed_documents(["a"], spec=SPEC)
    assert timeouts == [10.0, 60.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (refusal(400, "INVALID_ARGUMENT", "API key not valid."), AuthError),
        (refusal(403, "PERMISSION_DENIED", "no"), AuthError),
        (refusal(400, "INVALID_ARGUMENT", "no"), RequestRefusedError),
        (refusal(400, "INVALID_ARGUMENT", "too long"), TextTooLongError),
        (refusal(413, "", "Request Entity Too Large"), TextTooLongError),
    ],
)
def test_a_refusal_is_not_tried_again(
    connect: Connect, response: httpx2.Response, error: type[Exception]
) -> None:
    embedder, transport = connect(response)
    with pytest.raises(error):
        embedder.embed_documents(["a"], spec=SPEC)
    assert len(transport.sent) == 1


def test_an_interrupt_passes_through(connect: Connect) -> None:
    embedder, _ = connect(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        embedder.embed_query("q", spec=SPEC)


# --- keys ------------------------------------------------------------------------------


def test_a_missing_key_is_an_error_only_when_it_is_needed() -> None:
    embedder = GeminiEmbedder(GoogleKeyring(batch_key=canary("batch")))
    assert embedder.provenance == "google"
    with pytest.raises(MissingDefaultKeyError):
        embedder.embed_query("q", spec=SPEC)
    embedder.close()


def test_errors_show_neither_the_key_nor_the_text(connect: Connect) -> None:
    words = f"api_key:{KEY} " + "private text " * 100
    embedder, _ = connect(refusal(403, "PERMISSION_DENIED", words))
    with pytest.raises(AuthError) as caught:
        embedder.embed_query("private text " * 100, spec=SPEC)
    assert KEY not in str(caught.value)
    assert str(caught.value).count("private text") < 30
    assert KEY not in repr(embedder)


def test_a_closed_embedder_opens_again(clock: ManualClock) -> None:
    transport = ScriptedTransport(vectors([1, 0, 0]), vectors([1, 0, 0]))
    embedder = GeminiEmbedder(
        KEYRING, endpoint=Endpoint(base_url=HOST), clock=clock, transport=transport
    )
    for _ in range(2):
        embedder.embed_query("q", spec=SPEC)
        embedder.close()
        embedder.close()
    assert len(transport.sent) == 2


# --- over real HTTP --------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec", [EmbeddingSpec(), EmbeddingSpec.gemini_embedding_2(dimensions=256)]
)
def test_the_emulator_s_vectors_come_back_bit_for_bit(
    emulator: Emulator, spec: EmbeddingSpec
) -> None:
    texts = [f"text number {number} \u2028 é 漢字" for number in range(GROUP_SIZE + 5)]
    with GeminiEmbedder(KEYRING, endpoint=Endpoint(base_url=emulator.url)) as embedder:
        found = embedder.embed_documents(texts, spec=spec)
        query = embedder.embed_query("what?", spec=spec)
    for text, vector in zip(texts, found, strict=True):
        assert vector.tobytes() == expected(spec, spec.document_text(text), spec.document_task)
    assert query.tobytes() == expected(spec, spec.query_text("what?"), spec.query_task)


def expected(spec: EmbeddingSpec, text: str, task: str | None) -> bytes:
    raw = fake_embed(text, model=spec.model, dimensions=spec.dimensions or 0, task_type=task)
    return normalize(raw).tobytes()


def test_several_threads_may_share_an_embedder(emulator: Emulator) -> None:
    found: dict[int, bytes] = {}
    with GeminiEmbedder(KEYRING, endpoint=Endpoint(base_url=emulator.url)) as embedder:

        def embed(number: int) -> None:
            found[number] = embedder.embed_query(f"query {number}", spec=SPEC_768).tobytes()

        threads = [threading.Thread(target=embed, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        for number, vector in found.items():
            again = embedder.embed_query(f"query {number}", spec=SPEC_768)
            assert vector == again.tobytes()


def test_a_query_does_not_load_the_sdk(emulator: Emulator) -> None:
    code = """
import sys
from semantic_core import EmbeddingSpec, Endpoint, GeminiEmbedder, GoogleKeyring
with GeminiEmbedder(
    GoogleKeyring(default_key=sys.argv[2]), endpoint=Endpoint(base_url=sys.argv[1])
) as embedder:
    embedder.embed_query("alpha", spec=EmbeddingSpec())
print([name for name in sys.modules if name.startswith("google.genai")])
"""
    command = [sys.executable, "-c", code, emulator.url, DEFAULT_KEY]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
