"""What SECURITY.md says of files, logs and code, as far as no single module shows it."""

from __future__ import annotations

import ast
import logging
import os
import re
import stat
from pathlib import Path

import pytest

from batch_emulator import FailLines, FaultRule, Lines, Operation, Reply
from semantic_core.doctor import examine
from semantic_core.domain.errors import RateLimitError
from semantic_core.domain.failpoints import FailPoint, arm, disarm
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.indexes.cached import LEAST_SAVED
from support.chunks import SPEC, chunks_of, embed, vector_of
from support.world import World

ROOT = Path(__file__).parents[1]
PACKAGES = ("core/semantic_core", "core/batch_emulator", "llamaindex_semcore", "langchain_semcore")

SECRET_TEXT = "the patient's name is Xylanthia Quorne"


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
    }


def test_every_file_is_for_its_owner_only(world: World, tmp_path: Path) -> None:
    """Even where the user lets everybody read new files."""
    before = os.umask(0)
    seen: dict[str, int] = {}
    try:
        path = world.folder / "private.db"
        with PeeweeVectorStore(path, clock=world.clock) as store:
            texts = [f"text {number}" for number in range(LEAST_SAVED)]
            store.collection("vectors", SPEC)
            store.save(chunks_of(texts), collection="vectors")
            embed(store, *texts)
            store.search(vector=vector_of("text 1"), collection="vectors")
            store.save(chunks_of(["one"]))
            for point in (FailPoint.SPOOL_WRITTEN, FailPoint.DOWNLOAD_DONE):
                arm(point, lambda: seen.update(modes(world.folder)))
            manager = world.manager(store=store)
            manager.flush_queue()
            manager.sync_status()
            disarm()
            store.backup(world.folder / "copy.db")
            seen.update(modes(world.folder))
    finally:
        disarm()
        os.umask(before)
    ours = {name: mode for name, mode in seen.items() if name.startswith(("private", "copy"))}
    kinds = {re.sub(r"[0-9a-f-]{36}\.\w+", "job", name) for name in ours}
    assert {
        "private.db",
        "private.db-wal",
        "private.db-shm",
        "private.db-batches",
        "private.db-batches/job",
        "private.db-batches/job/requests",
        "private.db-batches/job/results",
        "copy.db",
    } <= kinds
    assert any(name.startswith("private.db.vectors") for name in kinds)
    assert {name for name, mode in ours.items() if mode & 0o077} == set()


def test_no_text_is_logged_by_default(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Not at INFO either, whatever goes wrong; errors of a chunk stand on its row."""
    caplog.set_level(logging.INFO)
    world.save(SECRET_TEXT, f"{SECRET_TEXT} again")
    manager = world.manager()
    world.emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Reply(code=429)))
    with pytest.raises(RateLimitError):
        manager.flush_queue()
    world.clock.advance(3600)
    world.emulator.add_fault(
        FaultRule(effect=FailLines(code=400, message="no", lines=Lines(containing="again")))
    )
    manager.flush_queue()
    world.emulator.add_fault(FaultRule(operation=Operation.DOWNLOAD, effect=Reply(code=503)))
    manager.sync_status()
    manager.sync_status()
    world.store.search(text="Xylanthia")
    examine(manager)
    assert caplog.records != []
    assert "Xylanthia" not in caplog.text


def test_nothing_stored_is_ever_run() -> None:
    """E25: no unpickling, no eval, no loader that runs what it reads."""
    forbidden = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
    # YAML is read into its nodes: none of these makes an object of what a tag names.
    harmless = {"compose", "BaseLoader", "Node", "ScalarNode", "SequenceNode", "MappingNode"}
    harmless |= {"YAMLError"}
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name.partition(".")[0] for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    module = (node.module or "").partition(".")[0]
                    names = ["yaml loader" if module == "yaml" else module]
                elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    names = [node.func.id] if node.func.id in ("eval", "exec", "compile") else []
                elif isinstance(node, ast.keyword):
                    names = [node.arg] if node.arg == "allow_pickle" else []
                elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    is_loader = node.value.id == "yaml" and node.attr not in harmless
                    names = ["yaml loader"] if is_loader else []
                bad = forbidden | {"eval", "exec", "compile", "allow_pickle", "yaml loader"}
                found += [f"{path}: {name}" for name in names if name in bad]
    assert found == []
