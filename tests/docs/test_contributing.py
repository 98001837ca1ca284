"""The files and packages that docs/contributing.md names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "semantic_core"
PAGE = (ROOT / "docs" / "contributing.md").read_text()

PACKAGES = re.findall(r"^\| `([\w.]+)/?` \|", PAGE, re.MULTILINE)
PATHS = sorted(set(re.findall(r"`((?:\w+/)+(?:\w+\.(?:py|md))?)`", PAGE)))


def test_every_package_is_in_the_map() -> None:
    packages = {path.parent.name for path in CORE.glob("*/__init__.py")}
    modules = {path.name for path in CORE.glob("[!_]*.py")}
    assert set(PACKAGES) == packages | modules


@pytest.mark.parametrize("path", PATHS)
def test_a_path_exists(path: str) -> None:
    inner = [CORE, *(CORE / package for package in PACKAGES)]
    assert any((folder / path).exists() for folder in [ROOT, *inner])
