import logging
import pickle
from typing import Any

import pytest
from llama_index.core import MockEmbedding
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore

from batch_emulator import FaultRule, Operation, Reply
from llamaindex_semcore import DeferredEmbedding, EmbeddingSpec, GoogleKeyring
from llamaindex_semcore.vectors import NoQueryVector, QueryVector
from semantic_core import (
    AuthError,
    ConfigurationError,
    GeminiEmbedder,
    MissingDefaultKeyError,
    NotBatchableError,
)
from support.keys import canary
from support.world import DEFAULT_KEY, World


class BrokenEmbedding(MockEmbedding):
    """Another embed model whose provider says no, and quotes what it was asked."""

    def _get_query_embedding(self, query: str) -> list[float]:
        raise RuntimeError(f"401 for {query!r} with key sk-secret")

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


def keyless(**options: Any) -> DeferredEmbedding:
    return DeferredEmbedding(GoogleKeyring(), **options)


# --- documents ------------------------------------------------------------------------------


async def test_documents_get_a_placeholder_and_cost_nothing(
    world: World, embed_model: DeferredEmbedding
) -> None:
    assert embed_model.get_text_embedding("a") == []
    assert embed_model.get_text_embedding_batch(["a", "b"]) == [[], []]
    assert await embed_model.aget_text_embedding("a") == []
    assert await embed_model.aget_text_embedding_batch(["a", "b"]) == [[], []]
    assert world.emulator.requests == []


async def test_it_is_a_transformation(embed_model: DeferredEmbedding) -> None:
    """The placeholder is no None, of which a pipeline drops the node in silence."""
    nodes = [TextNode(text="a"), TextNode(text="b")]
    assert [node.embedding for node in embed_model(nodes)] == [[], []]
    nodes = [TextNode(text="a"), TextNode(text="b")]
    assert [node.embedding for node in await embed_model.acall(nodes)] == [[], []]
    assert nodes[0].embedding is not nodes[1].embedding


def test_nothing_needs_a_key_until_a_query_does() -> None:
    embed_model = DeferredEmbedding(on_query_error="raise")
    embed_model([TextNode(text="a")])
    pickle.dumps(embed_model)
    with pytest.raises(MissingDefaultKeyError):
        embed_model.get_query_embedding("a")


# --- queries --------------------------------------------------------------------------------


async def test_queries_are_embedded_live_as_queries_of_the_spec(
    world: World, embed_model: DeferredEmbedding
) -> None:
    vector = embed_model.get_query_embedding("How are you?")
    assert vector == await embed_model.aget_query_embedding("How are you?")
    expected = world.embedder().embed_query("How are you?", spec=EmbeddingSpec())
    assert vector == expected.tolist()
    assert isinstance(vector, QueryVector)
    assert vector.spec == EmbeddingSpec()


async def test_another_embed_model_can_embed_queries() -> None:
    embed_model = keyless(query_embed_model=MockEmbedding(embed_dim=3), on_query_error="raise")
    assert embed_model.get_query_embedding("a") == [0.5, 0.5, 0.5]
    assert await embed_model.aget_query_embedding("a") == [0.5, 0.5, 0.5]


async def test_a_query_that_cannot_be_embedded_has_no_vector_but_a_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for vector in (
        keyless().get_query_embedding("secret words"),
        await keyless().aget_query_embedding("secret words"),
    ):
        assert isinstance(vector, NoQueryVector)
        assert vector == []
        assert "GEMINI_API_KEY" in str(vector.problem)
    assert "GEMINI_API_KEY" in caplog.text
    assert "secret words" not in caplog.text


def test_a_provider_that_fails_is_a_reason_too(
    world: World, embed_model: DeferredEmbedding
) -> None:
    world.emulator.add_fault(
        FaultRule(operation=Operation.EMBED, effect=Reply(code=503), times=None)
    )
    vector = embed_model.get_query_embedding("a")
    assert isinstance(vector, NoQueryVector)
    assert vector == []
    assert "503" in str(vector.problem)


async def test_so_is_another_embed_model_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """Its message may hold the query, or a key: only its kind is told."""
    caplog.set_level(logging.DEBUG)
    embed_model = keyless(query_embed_model=BrokenEmbedding(embed_dim=3))
    for vector in (
        embed_model.get_query_embedding("my words"),
        await embed_model.aget_query_embedding("my words"),
    ):
        assert isinstance(vector, NoQueryVector)
        assert vector == []
        assert vector.problem == "RuntimeError"
    assert "sk-secret" not in caplog.text
    assert "my words" not in caplog.text


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, MissingDefaultKeyError),
        ({"query_embed_model": BrokenEmbedding(embed_dim=3)}, RuntimeError),
    ],
    ids=["no key", "another model"],
)
async def test_errors_can_be_raised_instead(
    options: dict[str, Any], error: type[Exception]
) -> None:
    embed_model = keyless(on_query_error="raise", **options)
    with pytest.raises(error):
        embed_model.get_query_embedding("a")
    with pytest.raises(error):
        await embed_model.aget_query_embedding("a")


def test_errors_of_the_provider_are_raised_as_they_are(world: World) -> None:
    world.emulator.revoke_key(DEFAULT_KEY)
    embed_model = DeferredEmbedding(
        world.keyring(), embedder=world.embedder(), on_query_error="raise"
    )
    with pytest.raises(AuthError):
        embed_model.get_query_embedding("a")


async def test_several_wordings_make_one_vector(embed_model: DeferredEmbedding) -> None:
    vectors = [embed_model.get_query_embedding(words) for words in ("one", "two")]
    mean = [(a + b) / 2 for a, b in zip(*vectors, strict=True)]
    for made in (
        embed_model.get_agg_embedding_from_queries(["one", "two"]),
        await embed_model.aget_agg_embedding_from_queries(["one", "two"]),
    ):
        assert made == pytest.approx(mean)
        assert isinstance(made, QueryVector)
        assert made.spec == EmbeddingSpec()
    largest = embed_model.get_agg_embedding_from_queries(["one", "two"], agg_fn=max)
    assert largest == max(vectors)


def test_wordings_of_which_one_fails_have_no_vector(
    world: World, embed_model: DeferredEmbedding
) -> None:
    """The mean of a vector and nothing is an error of numpy's."""
    world.emulator.add_fault(
        FaultRule(operation=Operation.EMBED, effect=Reply(code=503), skip=1, times=None)
    )
    made = embed_model.get_agg_embedding_from_queries(["one", "two"])
    assert isinstance(made, NoQueryVector)
    assert made == []
    assert "503" in str(made.problem)


def test_keys_come_from_the_environment_at_the_first_query(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", world.emulator.url)
    embed_model = DeferredEmbedding(on_query_error="raise")
    monkeypatch.setenv("GEMINI_API_KEY", DEFAULT_KEY)
    assert len(embed_model.get_query_embedding("a")) == 768
    embed_model.close()


# --- setting up -----------------------------------------------------------------------------


def test_a_space_that_gemini_does_not_make_is_refused() -> None:
    with pytest.raises(NotBatchableError, match="'openai'"):
        keyless(spec=EmbeddingSpec.external("openai"))


def test_a_cache_of_embeddings_is_refused() -> None:
    """It would answer the query "a" by the placeholder of the text "a"."""
    with pytest.raises(ConfigurationError, match="query_embed_model"):
        keyless(embeddings_cache=SimpleKVStore())


def test_its_name_and_model() -> None:
    embed_model = keyless(spec=EmbeddingSpec.gemini_embedding_2(dimensions=256))
    assert isinstance(embed_model, BaseEmbedding)
    assert embed_model.class_name() == "DeferredEmbedding"
    assert embed_model.model_name == "gemini-embedding-2"
    assert embed_model.to_payload()["model_name"] == "gemini-embedding-2"


def test_a_dict_of_it_holds_everything_but_the_keys() -> None:
    spec = EmbeddingSpec.gemini_embedding_2(dimensions=256)
    embed_model = DeferredEmbedding(
        GoogleKeyring(default_key=canary("secret")),
        spec=spec,
        on_query_error="raise",
        query_embed_model=MockEmbedding(embed_dim=3),
    )
    made = embed_model.to_dict()
    assert canary("secret") not in embed_model.to_json()
    assert canary("secret") not in repr(embed_model)
    again = DeferredEmbedding.from_dict(made)
    assert (again.spec, again.on_query_error) == (spec, "raise")
    assert again.to_dict() == made


def test_another_spec_is_another_transformation() -> None:
    """The pipeline's cache tells transformations apart by their dicts."""
    assert keyless().to_dict() != keyless(spec=EmbeddingSpec(dimensions=256)).to_dict()


def test_it_is_pickled_without_its_keys_and_without_a_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    embed_model = DeferredEmbedding(
        world.keyring(),
        spec=EmbeddingSpec(dimensions=256),
        embedder=world.embedder(),
        on_query_error="raise",
    )
    embed_model.get_query_embedding("opens a connection")
    data = pickle.dumps(embed_model)
    assert DEFAULT_KEY.encode() not in data
    again = pickle.loads(data)
    assert caplog.text == ""
    assert again.to_dict() == embed_model.to_dict()
    assert again.get_text_embedding("a") == []
    with pytest.raises(MissingDefaultKeyError):
        again.get_query_embedding("a")
    assert embed_model.get_query_embedding("it still works itself")


def test_a_pickled_copy_asks_at_the_same_place(
    world: World, embed_model: DeferredEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", DEFAULT_KEY)
    again = pickle.loads(pickle.dumps(embed_model))
    assert again.get_query_embedding("a") == embed_model.get_query_embedding("a")
    again.close()


def test_a_pickled_copy_keeps_the_model_for_queries() -> None:
    embed_model = keyless(query_embed_model=MockEmbedding(embed_dim=3), on_query_error="raise")
    assert len(pickle.loads(pickle.dumps(embed_model)).get_query_embedding("a")) == 3


def test_closing_leaves_what_was_handed_in_open(world: World) -> None:
    embedder: GeminiEmbedder = world.embedder()
    embed_model = DeferredEmbedding(embedder=embedder)
    embed_model.get_query_embedding("a")
    embed_model.close()
    embed_model.close()
    assert embedder.embed_query("a", spec=EmbeddingSpec()).shape == (768,)
