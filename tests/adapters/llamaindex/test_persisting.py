import json
from contextlib import closing
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from llama_index.core import (
    MockEmbedding,
    StorageContext,
    VectorStoreIndex,
    load_index_from_storage,
)
from llama_index.core.vector_stores import SimpleVectorStore

from llamaindex_semcore import SemcoreVectorStore
from semantic_core import InvalidInputError, PeeweeVectorStore
from support.llamaindex import node


@pytest.fixture
def full(store: PeeweeVectorStore) -> SemcoreVectorStore:
    vector_store = SemcoreVectorStore(store, "mine", pending="skip")
    vector_store.add([node("a")])
    return vector_store


def check(again: SemcoreVectorStore) -> None:
    with closing(again):
        assert [found.node_id for found in again.get_nodes()] == ["a"]
        assert (again.collection, again.pending) == ("mine", "skip")


def test_a_persisted_store_is_found_by_its_path(full: SemcoreVectorStore, tmp_path: Path) -> None:
    path = tmp_path / "some" / "folder" / "store.json"
    full.persist(str(path))
    full.persist(str(path))
    check(SemcoreVectorStore.from_persist_path(str(path)))


def test_or_in_the_folder_of_a_storage_context(full: SemcoreVectorStore, tmp_path: Path) -> None:
    full.persist(str(tmp_path / "default__vector_store.json"))
    check(SemcoreVectorStore.from_persist_dir(str(tmp_path)))


def test_or_on_another_file_system(full: SemcoreVectorStore) -> None:
    files = MemoryFileSystem()
    full.persist("/bucket/store.json", fs=files)
    check(SemcoreVectorStore.from_persist_path("/bucket/store.json", fs=files))


def test_a_relative_path_holds_wherever_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(SemcoreVectorStore("mine.db", "mine", pending="skip")) as vector_store:
        vector_store.add([node("a")])
        vector_store.persist("store.json")
    monkeypatch.chdir(tmp_path.parent)
    check(SemcoreVectorStore.from_persist_path(str(tmp_path / "store.json")))


def test_the_database_itself_is_never_written_over(
    full: SemcoreVectorStore, tmp_path: Path
) -> None:
    full.persist(full.store)
    with PeeweeVectorStore(tmp_path / "other.db") as other:
        SemcoreVectorStore(other).add([node("b")])
    with pytest.raises(InvalidInputError, match="another database"):
        full.persist(str(tmp_path / "other.db"))
    with closing(SemcoreVectorStore.from_persist_path(str(tmp_path / "other.db"))) as other_store:
        assert [found.node_id for found in other_store.get_nodes()] == ["b"]


def test_nothing_is_created_where_nothing_was_persisted(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="nothing at"):
        SemcoreVectorStore.from_persist_path(str(tmp_path / "new.db"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "no JSON", "[1]", "{}", '{"format": "other"}'])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "vector_store.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInputError, match="not written by SemcoreVectorStore"):
        SemcoreVectorStore.from_persist_path(str(path))


def test_a_simple_vector_store_is_refused(tmp_path: Path) -> None:
    simple = SimpleVectorStore()
    simple.add([node("a", embedding=[1.0])])
    simple.persist(str(tmp_path / "simple.json"))
    with pytest.raises(InvalidInputError, match="another vector store"):
        SemcoreVectorStore.from_persist_path(str(tmp_path / "simple.json"))


def test_a_simple_vector_store_does_not_read_it_as_empty(
    full: SemcoreVectorStore, tmp_path: Path
) -> None:
    """StorageContext.from_defaults(persist_dir=...) reads whatever lies there as one."""
    full.persist(str(tmp_path / "default__vector_store.json"))
    with pytest.raises(ValueError, match="in a database"):
        SimpleVectorStore.from_persist_dir(str(tmp_path))


def test_loading_without_the_store_says_what_to_pass(
    full: SemcoreVectorStore, tmp_path: Path
) -> None:
    folder = str(tmp_path / "storage")
    index = VectorStoreIndex.from_vector_store(full, embed_model=MockEmbedding(768))
    index.storage_context.persist(folder)
    with pytest.raises(ValueError, match=r"vector_store=SemcoreVectorStore\.from_persist_dir\("):
        StorageContext.from_defaults(persist_dir=folder)
    with closing(SemcoreVectorStore.from_persist_dir(folder)) as again:
        context = StorageContext.from_defaults(persist_dir=folder, vector_store=again)
        loaded = load_index_from_storage(context, embed_model=MockEmbedding(768))
        assert [found.text for found in loaded.as_retriever().retrieve("a")] == []
    check(SemcoreVectorStore.from_persist_dir(folder))


def test_the_file_holds_a_path_and_no_texts(full: SemcoreVectorStore, tmp_path: Path) -> None:
    full.persist(str(tmp_path / "store.json"))
    fields = json.loads((tmp_path / "store.json").read_text(encoding="utf-8"))
    assert fields["store"] == str(full.client.database.path)
    assert fields["format"] == "semcore"
