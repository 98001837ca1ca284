"""What is built for users: its contents, and that it runs where nothing else of this project is."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path

import pytest
from trove_classifiers import classifiers

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = {"semantic_core", "batch_emulator", "llamaindex_semcore", "langchain_semcore"}


@dataclass(frozen=True, slots=True)
class Built:
    """The two files that are uploaded."""

    wheel: Path
    archive: Path


def build(source: Path, target: Path, *options: str) -> None:
    """Build with what is installed: nothing is fetched."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(target), *options]
    subprocess.run(command, cwd=source, check=True, capture_output=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    [wheel], [archive] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel, archive)


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as opened:
        return set(opened.namelist())


def test_the_wheel_holds_the_packages_their_types_and_the_licence(built: Built) -> None:
    """And nothing else: no test, no benchmark, no page."""
    names = names_in(built.wheel)
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == PACKAGES
    assert not [name for name in names if "test_" in name or name.endswith((".pyc", ".db"))]


def test_the_metadata_is_fit_to_be_published(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as opened:
        (name,) = [one for one in opened.namelist() if one.endswith("METADATA")]
        metadata = message_from_string(opened.read(name).decode())
    assert metadata["Name"] == "semcore"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert set(PROJECT["classifiers"]) <= classifiers
    assert set(metadata.get_all("Provides-Extra") or []) == set(PROJECT["optional-dependencies"])


def test_the_archive_holds_all_that_is_needed_to_test_and_to_build(
    built: Built, tmp_path: Path
) -> None:
    """A wheel that is built from it is the same."""
    with tarfile.open(built.archive) as opened:
        opened.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for name in (
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "cassettes/README.md",
        "constraints.txt",
        "docs/index.md",
        "examples",
        "mkdocs.yml",
        "scripts/cli_reference.py",
        "tests/conftest.py",
    ):
        assert (source / name).exists(), name
    build(source, tmp_path / "again", "-t", "wheel")
    (again,) = (tmp_path / "again").glob("*.whl")
    assert names_in(again) == names_in(built.wheel)


def test_it_runs_in_a_clean_environment(built: Built, tmp_path: Path) -> None:
    """Of this checkout only what the wheel holds; of other people's packages those here."""
    venv.create(tmp_path, with_pip=False)
    bin_folder = tmp_path / "bin"
    installing = ["install", "--quiet", "--no-deps", "--no-index", str(built.wheel)]
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(bin_folder / "python"), *installing],
        check=True,
        capture_output=True,
    )
    (packages,) = tmp_path.glob("lib/python*/site-packages")
    # A .pth file found through another one is not read, so the checkout stays out of sight.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120
        )
        return done.stdout.strip()

    assert run(str(bin_folder / "semcore"), "--version") == f"semcore {PROJECT['version']}"
    code = f"import {', '.join(sorted(PACKAGES))}\nfor one in ({', '.join(sorted(PACKAGES))},):\n"
    places = run(str(bin_folder / "python"), "-c", code + "    print(one.__file__)").splitlines()
    assert len(places) == len(PACKAGES)
    assert all(place.startswith(str(packages)) for place in places), places
