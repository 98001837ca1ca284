"""How fast a job's result file becomes stored vectors, and in how much memory.

    python benchmarks/backfill.py [RESULTS ...]

By default for 10,000 and 100,000 results of 768 dimensions, each in a process of its own. Timed
is ``sync_status()`` with a provider that takes no time: reading and checking each line, storing
the vector under its content hash, making its chunk READY, settling the job. The limits, in the
same process: orjson and numpy alone, from each line of the same file to a float32 array; and the disk.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from shared import machine, made
from shared.provider import InstantProvider, manager_of

SIZES = (10_000, 100_000)
PAGE = 1000
SPEC = EmbeddingSpec()


def main() -> None:
    """Print one line a size and keep the figures."""
    if sys.argv[1:2] == ["--one"]:
        measure(int(sys.argv[2]), Path(sys.argv[3]))
        return
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    about, rows = machine.describe(), []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, __file__, "--one", str(size), folder],
                check=True,
                stdout=subprocess.PIPE,
            )
        rows.append(json.loads(done.stdout))
        print(
            "{results:>9,} results: {per_second:8,.0f}/s, {share_of_parsing:4.0%} of parsing alone "
            "({parsed_per_second:,.0f}/s), {mb_per_second:.0f} MB/s written, peak memory "
            "{peak_mb:.0f} MB".format(**rows[-1])
        )
    first, last = rows[0], rows[-1]
    growth = last["peak_mb"] / first["peak_mb"]
    print(f"Peak memory of the largest is {growth:.2f} times that of the smallest.")
    machine.keep("backfill", {"machine": about, "rows": rows, "memory_growth": round(growth, 3)})


def measure(count: int, folder: Path) -> None:
    """Save, send and apply so many texts; print the figures as JSON."""
    # In a process that has ended its memory is nobody's.
    prepare = f"import backfill, pathlib; backfill.prepare({count}, pathlib.Path({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", prepare], check=True, cwd=Path(__file__).parent)
    lines = folder / "results.jsonl"
    # Applying removes the file that it was given.
    kept = folder / "kept.jsonl"
    kept.hardlink_to(lines)
    parsed = machine.parse_rate(kept)
    rate = machine.write_rate(folder)
    with PeeweeVectorStore(folder / "notes.db") as store:
        provider = InstantProvider()
        manager = manager_of(store, provider, texts=count)
        manager.flush_queue()
        provider.results_file = lines
        seconds = machine.timed(manager.sync_status)
        if store.stats().ready != count:
            raise SystemExit(f"Only {store.stats().ready} of {count} chunks became READY.")
    # Before and after, as the machine may be slower at one of them.
    parsed = (parsed + machine.parse_rate(kept)) / 2
    print(
        json.dumps(
            {
                "results": count,
                "seconds": round(seconds, 2),
                "per_second": round(count / seconds),
                "parsed_per_second": round(parsed),
                "share_of_parsing": round(count / seconds / parsed, 3),
                "mb_per_second": round(4e-6 * (SPEC.dimensions or 0) * count / seconds, 1),
                "disk_mb_per_second": round(rate / 1e6),
                "peak_mb": round(machine.peak_memory() / 1e6, 1),
            }
        )
    )


def prepare(count: int, folder: Path) -> None:
    """Save the texts, and write the file that answers them."""
    keys = []
    with PeeweeVectorStore(folder / "notes.db") as store:
        for start in range(0, count, PAGE):
            texts = made.texts(start, min(start + PAGE, count))
            store.save([Chunk(text=text, metadata=made.metadata(0)) for text in texts])
            keys += made.content_hashes(texts, SPEC)
    with (folder / "results.jsonl").open("wb") as file:
        file.writelines(made.result_lines(keys, SPEC.dimensions or 0))


if __name__ == "__main__":
    main()
