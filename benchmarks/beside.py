"""How long a search takes beside a bulk apply, as a multiple of that in a quiet store.

    python benchmarks/beside.py [ROWS [ROUNDS]]

Quiet rounds, rounds beside an apply and rounds beside a thread that only counts take turns, so that a
slow moment of the machine hits all. In the second, a thread applies new vectors by the thousand while
this one searches; the third are what Python leaves to a thread beside any other that never waits.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from semantic_core import Chunk, EmbeddingSpec, PeeweeVectorStore
from shared import machine, made

SPEC = EmbeddingSpec()
PAGE = 1000
APPLIED = 5_000
QUIET = 300
# Not without a pause: nobody asks as fast as a store can answer.
PAUSE = 0.002


def main() -> None:
    """Print percentiles and their ratios, and keep them."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    about = machine.describe()
    queries = made.vectors(200, SPEC.dimensions, seed=2)
    vectors = made.vectors(rows + rounds * APPLIED, SPEC.dimensions)
    quiet: list[float] = []
    beside: list[float] = []
    counting: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        PeeweeVectorStore(Path(folder, "beside.db")) as store,
    ):
        store.collection(spec=SPEC)
        _apply(store, vectors[:rows], 0)
        for _ in range(20):
            store.search(vector=queries[0])
        # Made beside the first searches, until which they compare all.
        store.refresh_indexes()
        for number in range(rounds):
            start = rows + number * APPLIED
            quiet += [_search(store, queries[turn % 200]) for turn in range(QUIET)]
            texts = _save(store, start, APPLIED)
            thread = threading.Thread(
                target=_send, args=(store, texts, vectors[start : start + APPLIED])
            )
            thread.start()
            while thread.is_alive():
                beside.append(_search(store, queries[len(beside) % 200]))
            thread.join()
            stop = threading.Event()
            thread = threading.Thread(target=_count, args=(stop,))
            thread.start()
            counting += [_search(store, queries[turn % 200]) for turn in range(QUIET // 3)]
            stop.set()
            thread.join()
    found = {
        f"p{share}": [
            round(1e3 * float(np.percentile(times, share)), 2)
            for times in (quiet, beside, counting)
        ]
        for share in (50, 90, 99)
    }
    for name, (alone, busy, least) in found.items():
        print(
            f"{name}: quiet {alone} ms, beside an apply {busy} ms, {busy / alone:.1f} times; "
            f"beside a count {least} ms, {least / alone:.1f} times"
        )
    print(f"{len(quiet)}, {len(beside)} and {len(counting)} searches")
    about["load_after"] = round(os.getloadavg()[0], 1)
    machine.keep("beside", {"machine": about, "rows": rows, "ms": found})


def _apply(store: PeeweeVectorStore, vectors: made.Floats, start: int) -> None:
    for page in range(0, len(vectors), PAGE):
        some = vectors[page : page + PAGE]
        _send(store, _save(store, start + page, len(some)), some)


def _save(store: PeeweeVectorStore, start: int, count: int) -> list[str]:
    texts = [f"text {number}" for number in range(start, start + count)]
    store.save(Chunk(id=text, text=text) for text in texts)
    return texts


def _send(store: PeeweeVectorStore, texts: list[str], vectors: made.Floats) -> None:
    hashes = made.content_hashes(texts, SPEC)
    store.bulk_update_vectors(zip(hashes, vectors, strict=True), spec=SPEC)


def _count(stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1


def _search(store: PeeweeVectorStore, query: made.Floats) -> float:
    started = time.perf_counter()
    store.search(vector=query)
    taken = time.perf_counter() - started
    time.sleep(PAUSE)
    return taken


if __name__ == "__main__":
    main()
