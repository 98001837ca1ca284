"""The arrays that pass between the modules of the index."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
"""Vectors of shape (n, dimensions), or scores of shape (n,)."""

Ids = npt.NDArray[np.int64]
"""What the caller names vectors by."""

Rows = npt.NDArray[np.int64]
"""Where they stand in the matrix; a row's number changes when the index is compacted."""

Flags = npt.NDArray[np.bool_]
"""One a row."""

Words = npt.NDArray[np.uint64]
"""Codes of shape (words, n): one bit a dimension, 64 dimensions a word, word by word."""
