"""In how much memory pictures are ingested, sent and brought back.

    python benchmarks/pictures.py [PICTURES ...]

By default 1,000 and 10,000 pictures of 100 kB, each number in a process of its own: every other one
a file, the rest handed in as bytes. The provider is the emulator, in another process, over HTTP.
What counts is the ratio of the peaks: all pictures together have 100 MB, and a gigabyte.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from semantic_core import (
    BatchManager,
    Document,
    EmbeddingSpec,
    GoogleKeyring,
    Media,
    PeeweeVectorStore,
    SemanticCore,
)
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
from shared import machine

SIZES = (1_000, 10_000)
SIDE = 182  # pixels; a PNG that is not compressed has three bytes for each
SPEC = EmbeddingSpec.gemini_embedding_2(dimensions=768)

_EMULATOR = """
import sys
from batch_emulator import Emulator
emulator = Emulator(sys.argv[1])
emulator.start()
print(emulator.url, flush=True)
sys.stdin.read()
emulator.stop()
"""


def main() -> None:
    """Print one line a number and keep the figures."""
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])))
        return
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    about, rows = machine.describe(), []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            emulator = subprocess.Popen(
                [sys.executable, "-c", _EMULATOR, f"{folder}/emulator.db"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert emulator.stdout is not None
            url = emulator.stdout.readline().strip()
            try:
                done = subprocess.run(
                    [sys.executable, __file__, "--one", str(size), folder, url],
                    check=True,
                    stdout=subprocess.PIPE,
                )
            finally:
                emulator.communicate()
        rows.append(json.loads(done.stdout))
        print(
            "{pictures:>7,} pictures of {kb:.0f} kB in {jobs} jobs: ingested at "
            "{ingested_per_second:,.0f}/s, sent at {sent_per_second:,.0f}/s, applied at "
            "{applied_per_second:,.0f}/s, peak memory {peak_mb:.0f} MB".format(**rows[-1])
        )
    growth = rows[-1]["peak_mb"] / rows[0]["peak_mb"]
    print(f"Peak memory of the largest is {growth:.2f} times that of the smallest.")
    machine.keep("pictures", {"machine": about, "rows": rows, "memory_growth": round(growth, 3)})


def measure(count: int, folder: Path, url: str) -> dict[str, float]:
    """Ingest, send and apply so many pictures."""
    keyring = GoogleKeyring(default_key="no-key", batch_key="no-batch-key")
    client = GeminiBatchClient("no-batch-key", endpoint=Endpoint(base_url=url, timeout=600.0))
    seconds = {"ingested": 0.0, "sent": 0.0, "applied": 0.0}

    with PeeweeVectorStore(folder / "pictures.db") as store:
        store.collection(spec=SPEC)
        with SemanticCore(store, keyring) as core:
            seconds["ingested"] = machine.timed(lambda: core.ingest(_documents(count, folder)))
        manager = BatchManager(keyring, store, client=client)
        jobs = 0
        while store.stats().ready < count:
            started = time.perf_counter()
            while manager.flush_queue() is not None:
                jobs += 1
            seconds["sent"] += time.perf_counter() - started
            seconds["applied"] += machine.timed(manager.sync_status)
    client.close()
    per_second = {f"{name}_per_second": round(count / took) for name, took in seconds.items()}
    return {
        "pictures": count,
        "kb": round(len(_picture(0)) / 1e3),
        "jobs": jobs,
        **per_second,
        "peak_mb": round(machine.peak_memory() / 1e6, 1),
    }


def _documents(count: int, folder: Path) -> Iterator[Document]:
    for number in range(count):
        data = _picture(number)
        path = folder / f"{number}.png"
        if number % 2:
            path.write_bytes(data)
        yield Document(
            id=str(number),
            content=f"picture number {number}",
            media=Media(path if number % 2 else data),
        )


def _picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG", compress_level=0)
    return written.getvalue()


if __name__ == "__main__":
    main()
