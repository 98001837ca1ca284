"""Results as markdown tables and plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from shared.machine import RESULTS

mpl.use("Agg")

_COLUMNS = (
    ("store", "store"),
    ("added/s", "add_per_second"),
    ("disk MB", "disk_mb"),
    ("memory MB: add / open", ("add_memory_mb", "open_memory_mb")),
    ("open to answer ms", "open_ms"),
    ("top-10 ms p50 / p95", ("p50_ms", "p95_ms")),
    ("x pass", "of_pass"),
    ("after a pass", "after_pass_p50_ms"),
    ("recall", "recall"),
    ("5 % filter ms p50 / p95", ("filtered_p50_ms", "filtered_p95_ms")),
    ("its recall", "filtered_recall"),
    ("updated/s", "update_per_second"),
    ("deleted/s", "delete_per_second"),
    ("", "stopped"),
)


def write_peers(name: str, result: dict[str, Any]) -> None:
    """Write the table and the plots of `peers.py`."""
    rows = result["rows"]
    sizes = list(dict.fromkeys((row["rows"], row["dimensions"]) for row in rows))
    lines = ["# semcore and its peers", "", describe(result["machine"]), ""]
    for size in sizes:
        of_size = [row for row in rows if (row["rows"], row["dimensions"]) == size]
        lines += [f"## {size[0]:,} x {size[1]:,}", "", *_table(of_size), ""]
    text = "\n".join(lines)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)
    _plot_peers(RESULTS / f"{name}.png", rows)


def describe(about: dict[str, Any]) -> str:
    """Return in one line what was measured on."""
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    rates = ""
    if "read_gb_per_second" in about:
        rates = (
            f" Memory is read at {about['read_gb_per_second']} GB/s, the disk written at "
            f"{about['write_gb_per_second']} GB/s."
        )
    return (
        f"{about['date']}; {about['cores']} cores, {about['processor']}, {about['memory_gb']} GB, "
        f"Python {about['python']}, SQLite {about['sqlite']}, {versions}. Load before: "
        f"{about['load_before'][0]} (other work on the machine makes all figures worse).{rates}"
    )


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        f"| {' | '.join(title for title, _ in _COLUMNS)} |",
        f"|---|{'---:|' * (len(_COLUMNS) - 2)}---|",
    ]
    for row in rows:
        if "p50_ms" in row and row.get("pass_ms"):
            row["of_pass"] = round(row["p50_ms"] / row["pass_ms"], 2)
        if "error" in row:
            row.setdefault("stopped", row["error"])
        lines.append(f"| {' | '.join(_cell(row, key) for _, key in _COLUMNS)} |")
    return lines


def _cell(row: dict[str, Any], key: str | tuple[str, str]) -> str:
    if isinstance(key, tuple):
        return " / ".join(_cell(row, one) for one in key) if key[0] in row else "-"
    value = row.get(key, "" if key == "stopped" else "-")
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _plot_peers(path: Path, rows: list[dict[str, Any]]) -> None:
    count, dimensions = max(
        ((row["rows"], row["dimensions"]) for row in rows), key=lambda size: size[0]
    )
    shown = [row for row in rows if (row["rows"], row["dimensions"]) == (count, dimensions)]
    figures = (
        ("rows added a second", "add_per_second"),
        ("top-10 query, ms (p50)", "p50_ms"),
        ("query with a 5 % filter, ms (p50)", "filtered_p50_ms"),
        ("open to first answer, ms", "open_ms"),
    )
    figure, axes = plt.subplots(2, 2, figsize=(13, 8), layout="constrained")
    for axis, (title, key) in zip(axes.flat, figures, strict=True):
        named = [row for row in shown if key in row]
        colours = ["#1f6feb" if row["store"].startswith("semcore") else "#9aa4b2" for row in named]
        names = [row["store"] + (" *" if "stopped" in row else "") for row in named]
        bars = axis.barh(names, [max(row[key], 0.01) for row in named], color=colours)
        axis.bar_label(bars, [f" {row[key]:,}" for row in named], fontsize=8)
        axis.set_xscale("log")
        axis.invert_yaxis()
        axis.set_title(title, fontsize=11)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.15)
    figure.suptitle(f"{count:,} x {dimensions:,}; * stopped early, so with fewer rows")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_threads(path: Path, threads: Sequence[int], rows: list[dict[str, Any]]) -> None:
    """Draw how many searches a second each store answers over the number of threads."""
    figure, axis = plt.subplots(figsize=(7, 5), layout="constrained")
    for row in rows:
        axis.plot(
            threads, row["per_second"], marker="o", label=f"{row['store']}, {row['recall']:.3f}"
        )
    axis.set_xscale("log", base=2)
    axis.set_xticks(threads, map(str, threads))
    axis.set_ylim(bottom=0)
    axis.set_xlabel("threads")
    axis.set_ylabel("searches a second")
    axis.grid(visible=True, alpha=0.25)
    axis.legend(title="store, recall@10", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_recall(path: Path, rows: list[dict[str, Any]]) -> None:
    """Draw recall over CPU time, a line a size, and a point for each depth."""
    figure, axis = plt.subplots(figsize=(7, 5), layout="constrained")
    for row in rows:
        # All codes, which are the depth 0, are a way of their own.
        points = sorted((one["cpu_ms"], one["recall"]) for one in row["depths"] if one["depth"])
        axis.plot(*zip(*points, strict=True), marker="o", label=f"{row['rows']:,} vectors")
    axis.set_xlabel("CPU of a search, ms")
    axis.set_ylabel("recall@10")
    axis.grid(visible=True, alpha=0.25)
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_growth(path: Path, rows: list[dict[str, Any]], figures: list[tuple[str, str]]) -> None:
    """Draw each figure over the number of rows, both axes logarithmic."""
    figure, axis = plt.subplots(figsize=(9, 6), layout="constrained")
    sizes = [row["rows"] for row in rows]
    for title, key in figures:
        values = [row.get(key) for row in rows]
        axis.plot(sizes, values, marker="o", label=title)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("chunks stored")
    axis.set_ylabel("milliseconds")
    axis.grid(visible=True, which="both", alpha=0.25)
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
