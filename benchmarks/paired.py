"""Two checkouts of semcore beside each other: CPU time of the same work, in turns, in one run.

    git worktree add ../before COMMIT
    python benchmarks/paired.py ../before                   save, ingest and keyword search
    python benchmarks/paired.py ../before --rounds 25 --only search

Each checkout works in a process of its own, and every round asks one after the other, by turns the
one or the other first. What is printed is the median of this checkout's time over the other's, with
the quartiles: of two times that were measured side by side a busy machine changes the ratio least.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TEXTS = 2_000
QUERIES = 60


def main() -> None:
    """Measure, and print a line for each kind of work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("before", type=Path, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", nargs="*", choices=WORK, default=list(WORK))
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        _work()
        return
    now, before = (_start(path) for path in (Path(__file__).parents[1], options.before))
    for kind in options.only:
        _ask(now, kind), _ask(before, kind)
        ratios = []
        for turn in range(options.rounds):
            if turn % 2:
                one, other = _ask(now, kind), _ask(before, kind)
            else:
                other, one = _ask(before, kind), _ask(now, kind)
            ratios.append(one / other)
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"{kind:<8} {middle:.3f} of the time before ({low:.3f} to {high:.3f})", flush=True)
    for process in (now, before):
        process.communicate("")


def _start(checkout: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, "--work", checkout],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(checkout.resolve() / "core")},
    )


def _ask(process: subprocess.Popen[str], kind: str) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    print(kind, file=process.stdin, flush=True)
    return float(process.stdout.readline())


def _work() -> None:
    """Do what is asked, line by line, and tell what each took."""
    from shared import made

    texts = made.texts(0, TEXTS)
    with tempfile.TemporaryDirectory() as folder:
        for number, kind in enumerate(map(str.strip, sys.stdin)):
            work = WORK[kind](texts, Path(folder, f"{number}.db"))
            gc.collect()
            started = time.process_time()
            work()
            print(time.process_time() - started, flush=True)


def _save(texts: list[str], path: Path) -> Callable[[], Any]:
    from semantic_core import Chunk, PeeweeVectorStore

    store = PeeweeVectorStore(path)
    chunks = [
        Chunk(
            id=f"{number // 8}#{number % 8}",
            document_id=str(number // 8),
            text=text,
            metadata={"source": f"notes/{number // 8}.md", "position": number % 8, "lang": "en"},
        )
        for number, text in enumerate(texts)
    ]
    return lambda: [store.save(chunks[at : at + 1000]) for at in range(0, TEXTS, 1000)]


def _ingest(texts: list[str], path: Path) -> Callable[[], Any]:
    from semantic_core import Document, PeeweeVectorStore, SemanticCore

    core = SemanticCore(PeeweeVectorStore(path))
    documents = [
        Document(id=str(at), content="\n\n".join(texts[at : at + 8]), metadata={"lang": "en"})
        for at in range(0, TEXTS, 8)
    ]
    return lambda: core.ingest(documents, mode="async")


def _search(texts: list[str], path: Path) -> Callable[[], Any]:
    from semantic_core import PeeweeVectorStore, SemanticCore

    core = SemanticCore(PeeweeVectorStore(path))
    _save(texts, path)()
    queries = [" ".join(text.split()[10:13]) for text in texts[:: TEXTS // QUERIES]]
    return lambda: [core.search(query, mode="keyword") for query in queries]


WORK = {"save": _save, "ingest": _ingest, "search": _search}

if __name__ == "__main__":
    main()
