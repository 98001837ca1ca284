"""The benchmarks run, whatever changes in what they measure; their figures are not tested."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmarks(tmp_path: Path) -> Path:
    """Return a copy: what a benchmark finds out it writes beside itself."""
    ignored = shutil.ignore_patterns("results", "__pycache__")
    return Path(shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks", ignore=ignored))


def _run(folder: Path, name: str, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "DATA"}
    done = subprocess.run(
        [sys.executable, str(folder / f"{name}.py"), *arguments],
        capture_output=True,
        check=False,
        env=environment,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ingest", ["200"]),
        ("search", ["500"]),
        ("threads", ["300", "0.05"]),
        ("langchain_add", ["--documents", "50"]),
        ("llamaindex_add", ["--nodes", "50"]),
        ("delivery", ["50", "--only", "Chroma"]),
    ],
)
def test_it_runs_and_compares(benchmarks: Path, name: str, arguments: list[str]) -> None:
    printed = _run(benchmarks, name, *arguments)
    assert any(
        word in printed
        for word in ("times faster", "x pass", "x one thread", "x its own", "reaches")
    ), printed


def test_backfill_applies_every_result(benchmarks: Path) -> None:
    _run(benchmarks, "backfill", "200", "400")
    rows = json.loads((benchmarks / "results" / "backfill.json").read_text("utf-8"))["rows"]
    assert [row["results"] for row in rows] == [200, 400]


def test_pictures_are_all_brought_back(benchmarks: Path) -> None:
    _run(benchmarks, "pictures", "20", "40")
    rows = json.loads((benchmarks / "results" / "pictures.json").read_text("utf-8"))["rows"]
    assert [row["pictures"] for row in rows] == [20, 40]


@pytest.mark.postgres
def test_postgres_compares_each_step(benchmarks: Path, postgres_url: str) -> None:
    _run(benchmarks, "postgres", postgres_url, "1000")
    rows = json.loads((benchmarks / "results" / "postgres.json").read_text("utf-8"))["rows"]
    assert [row["step"] for row in rows] == ["save", "claim", "fill"]


def test_growth_measures_and_draws(benchmarks: Path) -> None:
    _run(benchmarks, "growth", "5000")
    rows = json.loads((benchmarks / "results" / "growth.json").read_text("utf-8"))["rows"]
    assert [row["rows"] for row in rows] == [5000]
    assert (benchmarks / "results" / "growth.png").stat().st_size > 0


def test_quality_runs_on_made_vectors_without_the_real_ones(benchmarks: Path) -> None:
    assert "recall@10" in _run(benchmarks, "quality", "500")


def test_peers_are_asked_the_same_and_answer_right(benchmarks: Path) -> None:
    """Exact stores find all of the ten nearest: so what they are compared with is right."""
    names = ["semcore", "semcore, exact", "LlamaIndex SimpleVectorStore"]
    _run(benchmarks, "peers", "--sizes", "300x32", "--seconds", "5", "--only", *names)
    rows = json.loads((benchmarks / "results" / "peers.json").read_text("utf-8"))["rows"]
    assert [row["store"] for row in rows] == names
    for row in rows:
        assert "error" not in row, row
        assert (row["added"], row["recall"], row["filtered_recall"]) == (300, 1.0, 1.0)
    assert "semcore" in (benchmarks / "results" / "peers.md").read_text("utf-8")


@pytest.mark.postgres
def test_pgvectorstores_finds_all_with_a_filter(benchmarks: Path, postgres_url: str) -> None:
    options = ["--sizes", "300x32", "--only", "semcore", "--url", postgres_url]
    assert "times less CPU" in _run(benchmarks, "pgvectorstores", *options)
    kept = json.loads((benchmarks / "results" / "pgvectorstores.json").read_text("utf-8"))
    (row,) = kept["rows"]
    assert (row["rows"], row["recall"], row["filtered_recall"]) == (300, 1.0, 1.0)


def test_languages_reads_manual_pages(benchmarks: Path, tmp_path: Path) -> None:
    """Of made pages: the real ones are fetched."""
    pages = tmp_path / "pages" / "usr" / "share" / "man"
    words = {
        "": ("print the lines", "Prints lines to a printer."),
        "ru": ("печатает строки", "Печатает строку за строкой."),
        "de": ("Zeilen drucken", "Druckt jede Zeile."),
        "ja": ("行を印刷する", "行を印刷します。"),
        "zh_CN": ("打印行", "一行一行地打印行。"),
    }
    for place, (question, text) in words.items():
        folder = pages / place / "man1"
        folder.mkdir(parents=True)
        roff = f'.TH x\n.SH NAME\nlp \\- {question}\n.SH "TEXT"\n.B lp\n{text * 40}\n.SH END\n'
        (folder / "lp.1.gz").write_bytes(gzip.compress(roff.encode()))
    _run(benchmarks, "languages", str(tmp_path / "pages"))
    rows = json.loads((benchmarks / "results" / "languages.json").read_text("utf-8"))["rows"]
    assert {name: row["semcore"] for name, row in rows.items()} == dict.fromkeys(
        ("ru", "de", "ja", "zh"), 1.0
    )
