"""The arrays that pass between the modules of the index."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
"""Vectors of shape (n, dimensions), or scores of shape (n,)."""

Ids = npt.NDArray[np.int64]
"""The caller's ids of vectors."""

Rows = npt.NDArray[np.int64]
"""Row numbers of the matrix; they change when the index is compacted."""

Flags = npt.NDArray[np.bool_]
"""One for each row."""

Words = npt.NDArray[np.uint64]
"""Codes of shape (words, n): one bit per dimension, 64 dimensions per word, word by word."""
