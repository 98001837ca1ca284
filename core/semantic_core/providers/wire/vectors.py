import numpy as np

from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Vector, VectorLike
from semantic_core.domain.validation import check_vector


def to_vector(values: VectorLike, *, spec: EmbeddingSpec, what: str) -> Vector:
    """Return one embedding as float32 of shape (dimensions,), or raise `InvalidVectorError`.

    Only the largest size of ``gemini-embedding-001`` comes with length 1; every vector of a
    normalized spec is brought to length 1 here, so that cosine is a dot product.
    """
    checked = check_vector(values, dimensions=spec.dimensions, what=what)
    vector = np.frombuffer(checked, dtype="<f4")
    return normalize(vector) if spec.normalized else vector


def normalize(vector: Vector) -> Vector:
    """Return a vector that is finite and not all zero with length 1, as float32; or several."""
    # The square of a large or tiny float32 is only sure to be finite and not zero as float64.
    wide = vector.astype(np.float64)
    scaled: Vector = (wide / np.sqrt(np.vecdot(wide, wide)[..., None])).astype(np.float32)
    return scaled
