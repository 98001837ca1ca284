"""What a figure was measured on, and what the machine itself can do."""

from __future__ import annotations

import json
import os
import platform
import resource
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import orjson

RESULTS = Path(__file__).parent.parent / "results"
PACKAGES = (
    "numpy",
    "orjson",
    "chromadb",
    "lancedb",
    "sqlite-vec",
    "apsw",
    "faiss-cpu",
    "usearch",
    "llama-index-core",
    "langchain-core",
    "langchain-postgres",
    "llama-index-vector-stores-postgres",
    "psycopg",
)


def describe() -> dict[str, Any]:
    """Return the machine, the versions, the moment and how busy it was."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "versions": versions,
        "load_before": [round(load, 1) for load in os.getloadavg()],
    }


def keep(name: str, result: dict[str, Any]) -> Path:
    """Write a result, with the machine as it is, into ``results/``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path


def timed(action: Callable[[], object]) -> float:
    """Return how many seconds an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def percentiles(seconds: Iterable[float]) -> dict[str, float]:
    """Return the median and the 95th percentile in milliseconds."""
    values = list(seconds)
    return {
        "p50_ms": round(1e3 * statistics.median(values), 3),
        "p95_ms": round(1e3 * float(np.quantile(values, 0.95)), 3),
    }


def peak_memory() -> int:
    """Return the most bytes this process ever had in memory, shared pages of files included."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    # On Linux getrusage() begins with the peak of the process that started this one.
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def read_rate() -> float:
    """Return the bytes a second at which memory is read: one pass over 512 MB, the best of five."""
    # Not zeros: until they are written, all pages of those are one and the same.
    block = np.ones(128 * 2**20, dtype=np.float32)
    return block.nbytes / min(timed(block.max) for _ in range(5))


def write_rate(folder: Path) -> float:
    """Return the bytes a second of writing 256 MB and waiting until they are on disk."""
    block = bytes(2**20)
    path = folder / "written"

    def write() -> None:
        with path.open("wb") as file:
            for _ in range(256):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())

    seconds = timed(write)
    path.unlink()
    return 256 * 2**20 / seconds


def parse_rate(results: Path) -> float:
    """Return the lines a second at which orjson and numpy alone turn a result file into float32."""
    lines = 0

    def parse() -> None:
        nonlocal lines
        with results.open("rb") as file:
            for line in file:
                np.array(orjson.loads(line)["response"]["embedding"]["values"], dtype=np.float32)
                lines += 1

    seconds = timed(parse)
    return lines / seconds


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")
