"""What holds for the project as a whole."""

import ast
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGES = ("core/semantic_core", "core/batch_emulator", "llamaindex_semcore", "langchain_semcore")
PARTS = (*PACKAGES, "tests", "cassettes", "benchmarks", "docs", "examples", "scripts", ".ci")

MACHINE_PATH = re.compile(r"(?<![\w./])/(?:home|root|Users|work|opt|mnt)/\w")
REGISTRY = re.compile(r"pypi\.org|pythonhosted\.org|--(?:extra-)?index-url|\bfind-links\b")
MOST_LINES = 400
# LangChain wants all methods of a vector store on one class: a base class would only split a file.
LONGER = {"langchain_semcore/vectorstores.py": 500}

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def sources(*parts: str) -> Iterator[Path]:
    for part in parts:
        for path in sorted((ROOT / part).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def requirements() -> list[Requirement]:
    project = PYPROJECT["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(text) for texts in lists for text in texts]


def test_no_file_names_a_machine_path_or_a_registry() -> None:
    files = [path for path in ROOT.iterdir() if path.is_file() and path.name[0] != "."]
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in [*files, *sources(*PARTS)]
        for pattern in (MACHINE_PATH, REGISTRY, re.compile(re.escape(f"{ROOT}/")))
        for match in pattern.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


def test_modules_stay_small() -> None:
    """A module that grows longer holds a second noun."""
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources(*PACKAGES)
        if path.suffix == ".py"
    }
    assert lengths
    limits = dict.fromkeys(lengths, MOST_LINES) | LONGER
    assert {name: lines for name, lines in lengths.items() if lines > limits[name]} == {}


@pytest.mark.parametrize("folder", ["queue", "store", "batches", "views"])
def test_no_word_of_one_provider_stands_above_the_port(folder: str) -> None:
    """Another one is a folder; only the manager's default names one."""
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sources(f"core/semantic_core/{folder}")
        if path.name != "manager.py"
        for line in path.read_text(encoding="utf-8").replace("google_job_id", "").splitlines()
        if re.search("gemini|google|ai studio", line, re.IGNORECASE)
    ]
    assert found == []


def test_constraints_are_plain_pins() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    odd = [
        line
        for line in lines
        if not line.startswith("#") and not re.fullmatch(r"[\w.-]+==[\w.!+]+", line)
    ]
    assert odd == []
    assert "://" not in "".join(lines)


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_requirement_is_pinned_within_its_range(requirement: Requirement) -> None:
    if requirement.name == PYPROJECT["project"]["name"]:
        assert requirement.extras <= set(PYPROJECT["project"]["optional-dependencies"])
        return
    pinned = {canonicalize_name(name): version for name, version in pins().items()}
    assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


def test_every_command_is_in_the_help() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [phony] = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    told = re.findall(r"^([a-z0-9]+):.*## \S", makefile, re.MULTILINE)
    assert set(told) == set(phony.split()) - {"FORCE"}


def test_continuous_integration_runs_what_a_person_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    *_, enter, last = script.read_text(encoding="utf-8").splitlines()
    assert enter.startswith("cd ")
    assert last == "make test"


def test_no_finally_replaces_what_is_raised() -> None:
    """A raise in it takes the place of an interrupt, and whoever pressed Ctrl-C waits on."""
    found = [
        f"{path.relative_to(ROOT)}:{statement.lineno}"
        for path in sources(*PACKAGES)
        if path.suffix == ".py"
        for block in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(block, ast.Try)
        for part in block.finalbody
        for statement in ast.walk(part)
        if isinstance(statement, (ast.Raise, ast.Return, ast.Break, ast.Continue))
    ]
    assert found == []
