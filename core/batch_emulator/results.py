"""Runs the requests of a job: result lines as Google writes them, or as a fault wants them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson

from batch_emulator.config import ModelInfo
from batch_emulator.effects import (
    CutResult,
    Damage,
    DamageLines,
    FailLines,
    LineEffect,
    ReplaceLines,
    SkipLines,
    SwapResults,
)
from batch_emulator.embedding import FloatVector, fake_embed
from batch_emulator.inputs import InputLine
from batch_emulator.validation import EmbedRequest, objection

# gRPC's number for INVALID_ARGUMENT: result lines carry those, not HTTP's.
_INVALID_ARGUMENT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultLine:
    """What one input line became.

    Attributes:
        number: the input line, from 0.
        data: bytes for the result file: usually one line, with a fault none or several.
        is_billed: it was embedded.
        is_lost: it was embedded, and a fault keeps its vector from the client.
        is_skipped: the job ended before it came to this line.
    """

    number: int
    data: bytes
    is_billed: bool
    is_lost: bool
    is_skipped: bool = False


def embed(request: EmbedRequest, *, model: str, info: ModelInfo) -> FloatVector:
    """Return the vector of a request."""
    text = info.taken(request.embedded_text)
    dimensions = request.dimensions or info.largest_dimensions
    if info.embed_text is not None and not request.media:
        given = info.embed_text(text)[:dimensions]
        # Zeros leave every cosine as it is.
        return np.pad(given, (0, dimensions - len(given)))
    return fake_embed(
        text,
        model=model,
        dimensions=dimensions,
        task_type=request.task_type,
        always_normalized=info.always_normalized,
        media=request.media,
    )


class Runner:
    """Turns the input lines of one job into result lines.

    Args:
        lines: the input.
        model: model id.
        info: what the model does.
        effects: faults that strike this job.
        shuffle: seed of the order of the result; None keeps the order of the input.
    """

    def __init__(
        self,
        lines: Sequence[InputLine],
        *,
        model: str,
        info: ModelInfo,
        effects: Sequence[LineEffect] = (),
        shuffle: str | None = None,
    ) -> None:
        self._lines = lines
        self._model = model
        self._info = info
        self._effects = [
            effect for effect in effects if not isinstance(effect, CutResult | SwapResults)
        ]
        self._swaps: dict[int, int] = {}
        for one in effects:
            if isinstance(one, SwapResults):
                self._swaps |= {one.first: one.second, one.second: one.first}
        self._cut = min((one.at for one in effects if isinstance(one, CutResult)), default=None)
        self._shuffle = shuffle

    def run(self) -> Iterator[ResultLine]:
        """Yield the result of every input line, in the order of the result file."""
        order = list(range(len(self._lines)))
        if self._shuffle is not None:
            random.Random(self._shuffle).shuffle(order)  # noqa: S311  # an order, no secret
        written = 0
        for number in order:
            result = self._result(number)
            written += len(result.data)
            if self._cut is not None and written > self._cut:
                keep = max(0, self._cut - (written - len(result.data)))
                result = ResultLine(
                    number=number,
                    data=result.data[:keep],
                    is_billed=result.is_billed,
                    is_lost=result.is_billed,
                )
            yield result

    def _result(self, number: int) -> ResultLine:
        line = self._lines[number]
        text = line.request.embedded_text
        effect = next(
            (one for one in self._effects if one.lines.fit(key=line.key, number=number, text=text)),
            None,
        )
        problem = objection(line.request, model=self._model, info=self._info)
        if isinstance(effect, SkipLines):
            return ResultLine(
                number=number, data=b"", is_billed=False, is_lost=False, is_skipped=True
            )
        error: dict[str, Any] | None = None
        if problem is not None:
            error = {"code": _INVALID_ARGUMENT, "message": problem}
        elif isinstance(effect, FailLines):
            error = {"code": effect.code, "message": effect.message}
            if effect.status:
                error["status"] = effect.status
        if error is not None:
            data = _encode({"error": error}, line)
            return ResultLine(number=number, data=data, is_billed=False, is_lost=False)
        if isinstance(effect, ReplaceLines):
            data = effect.text.encode() + b"\n"
            return ResultLine(number=number, data=data, is_billed=True, is_lost=True)
        other = self._swaps.get(number, number)
        vector = self._vector(other if other < len(self._lines) else number)
        # No count was seen of a line with a picture.
        tokens = None if line.request.media else self._info.tokens(text)
        data, is_lost = _encode(_success(vector, tokens), line), number in self._swaps
        if isinstance(effect, DamageLines):
            data = self._damaged(effect.damage, number, vector, data)
            is_lost = effect.damage not in _HARMLESS
        return ResultLine(number=number, data=data, is_billed=True, is_lost=is_lost)

    def _vector(self, number: int) -> FloatVector:
        return embed(self._lines[number].request, model=self._model, info=self._info)

    def _damaged(self, damage: Damage, number: int, vector: FloatVector, data: bytes) -> bytes:
        line = self._lines[number]
        if damage in _SPOILED:
            values = _SPOILED[damage](vector.tolist())
            record = {"response": {"embedding": {"values": values}}, "key": line.key}
            # The standard library writes NaN and Infinity, which are no JSON.
            return json.dumps(record).encode() + b"\n"
        success = _success(vector, self._info.tokens(line.request.embedded_text))
        makers: dict[Damage, Callable[[], bytes]] = {
            Damage.MISSING: bytes,
            Damage.DUPLICATE: lambda: data + data,
            Damage.CONFLICT: lambda: data + _encode(_success(-vector, 0), line),
            Damage.FOREIGN_KEY: lambda: data + _encode(success, replace(line, key="f" * 64)),
            Damage.NO_KEY: lambda: _encode(success, replace(line, key=None)),
            Damage.MALFORMED: lambda: data[: len(data) // 2] + b"\n",
            Damage.EMPTY: lambda: _encode({}, line),
            Damage.UNCOUNTED: lambda: _encode(_success(vector, None), line),
            Damage.SWAPPED: lambda: _encode(
                _success(self._vector((number + 1) % len(self._lines)), 0), line
            ),
        }
        return makers[damage]()


# The client still gets the vector.
_HARMLESS = (Damage.DUPLICATE, Damage.FOREIGN_KEY, Damage.UNCOUNTED)

_SPOILED: dict[Damage, Callable[[list[float]], list[Any]]] = {
    Damage.WRONG_DIMENSION: lambda values: values[:-1],
    Damage.NAN: lambda values: [float("nan"), *values[1:]],
    Damage.INFINITE: lambda values: [*values[:-1], float("inf")],
    Damage.ZERO: lambda values: [0.0] * len(values),
    Damage.OVERFLOW: lambda values: [1e39, *values[1:]],
    Damage.TEXT_NUMBERS: lambda values: [str(value) for value in values],
    Damage.BOOLEANS: lambda values: [value > 0 for value in values],
}


def _success(vector: FloatVector, tokens: int | None) -> dict[str, Any]:
    """Return a good line's fields; without a number, no tokens are counted."""
    count = {} if tokens is None else {"tokenCount": str(tokens)}
    return {"response": {**count, "embedding": {"values": vector}}}


def _encode(record: dict[str, Any], line: InputLine) -> bytes:
    """Encode a result line; Google puts the key last."""
    key = {} if line.key is None else {"key": line.key}
    return orjson.dumps(
        record | line.extras | key, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    )
