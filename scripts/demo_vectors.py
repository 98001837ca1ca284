"""Embed the demo's own text, whose vectors lie beside the emulator's small model.

    python scripts/demo_vectors.py [TOPICS.py ...]

Each is the file ``pydoc_data/topics.py`` of a Python; without any, it is this Python's own.
"""

import pydoc_data.topics
import runpy
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from llama_index.core import Document as LlamaDocument
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import MetadataMode

from batch_emulator import Emulator, EmulatorConfig
from batch_emulator.config import MODELS
from batch_emulator.sentences import VECTORS, SentenceModel, key_of
from semantic_core import (
    BatchConfig,
    BatchManager,
    Document,
    Endpoint,
    GeminiBatchClient,
    GoogleKeyring,
    PeeweeVectorStore,
    SemanticCore,
    Splitter,
)
from semantic_core.cli.demo import CHUNK_CHARACTERS

MODEL = SentenceModel()
_kept: dict[int, np.ndarray] = {}


def remember(text: str) -> np.ndarray:
    """Embed a text, and keep its vector as whole numbers of eight bits."""
    vector = MODEL(text) if MODEL.is_kept(text) else MODEL.embed(text)
    _kept[key_of(text)] = np.rint(vector * (127 / np.abs(vector).max())).astype(np.int8)
    return vector / np.linalg.norm(vector)


def main(files: list[str]) -> None:
    """Send every text of every reference through the whole way, as the demo does."""
    models = {name: replace(info, embed_text=remember) for name, info in MODELS.items()}
    keyring = GoogleKeyring(default_key="one", batch_key="two")
    for file in files or [pydoc_data.topics.__file__]:
        topics: dict[str, str] = runpy.run_path(file)["topics"]
        with (
            tempfile.TemporaryDirectory() as folder,
            Emulator(Path(folder, "emulator.db"), config=EmulatorConfig(models=models)) as emulator,
            PeeweeVectorStore(Path(folder, "demo.db")) as store,
            GeminiBatchClient.from_keyring(
                keyring, endpoint=Endpoint(base_url=emulator.url)
            ) as client,
        ):
            core = SemanticCore(store, keyring, splitter=Splitter(max_chars=CHUNK_CHARACTERS))
            core.ingest(Document(id=name, content=text) for name, text in topics.items())
            manager = BatchManager(keyring, store, client=client, config=BatchConfig())
            manager.drain_queue()
            manager.wait()
        sys.stdout.write(f"{file}: {len(_kept):,} texts\n")
    # The example with LlamaIndex embeds this Python's topics, cut by its own splitter.
    documents = [
        LlamaDocument(text=text, metadata={"topic": name})
        for name, text in pydoc_data.topics.topics.items()
    ]
    for node in SentenceSplitter(chunk_size=128, chunk_overlap=16)(documents):
        remember(node.get_content(MetadataMode.EMBED))
    keys = np.array(sorted(_kept), dtype=np.int64)
    np.savez_compressed(VECTORS, keys=keys, vectors=np.stack([_kept[key] for key in keys.tolist()]))


if __name__ == "__main__":
    main(sys.argv[1:])
