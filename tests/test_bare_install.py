"""What works where no extra is installed, and what the rest says there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# A child process in which what the extras bring cannot be imported, whatever is installed here.
# A package that is needed in any case (requests) asks for charset_normalizer, which it needs too.
CHILD = """
import sys

EXTRAS = {
    "charset_normalizer", "click", "langchain_core", "llama_index", "markdown_it", "psycopg",
    "rich", "starlette", "tqdm", "typer", "uvicorn", "yaml",
}

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from pathlib import Path
from semantic_core import *

folder = Path(sys.argv[1])
core = SemanticCore(PeeweeVectorStore(folder / "notes.db"), GoogleKeyring())

def refused(documents):
    try:
        core.ingest(documents)
    except MissingExtraError as error:
        print(error)
"""


def run(code: str, folder: Path, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", CHILD + code, str(folder)]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=check, timeout=120
    )


def test_plain_text_is_saved_and_found(tmp_path: Path) -> None:
    (tmp_path / "cats.txt").write_text("Cats\n====\n\nCats sleep all day.", encoding="utf-8")
    code = """
report = core.ingest(read_documents([folder / "cats.txt"]), progress=True)
core.ingest(Document(content="A dog barks at night."))
print(report.chunks.pending, [hit.chunk.text for hit in core.search("dog")])
print(core.stats().waiting, BatchManager(GoogleKeyring(), core.store).estimate().chunks)
print(len(core.search("cats")._repr_html_()) > 100)
print(sorted(EXTRAS & sys.modules.keys()))
"""
    lines = run(code, tmp_path).stdout.splitlines()
    assert lines == ["1 ['A dog barks at night.']", "2 2", "True", "[]"]


@pytest.mark.parametrize(
    ("name", "content", "package"),
    [
        ("page.md", b"# Cats\n\nThey sleep.", "markdown_it"),
        ("page.html", b"<h1>Cats</h1><p>They sleep.", "markdown_it"),
        ("page.md", b"---\nauthor: Ada\n---\nThey sleep.", "yaml"),
        ("page.txt", "Katzen schlafen \xfcber Tag. ".encode("cp1252") * 9, "charset_normalizer"),
    ],
    ids=["markdown", "html", "front-matter", "encoding"],
)
def test_what_needs_an_extra_names_it(
    tmp_path: Path, name: str, content: bytes, package: str
) -> None:
    (tmp_path / name).write_bytes(content)
    said = run(f"refused(read_documents([folder / {name!r}]))", tmp_path).stdout
    assert f"needs {package}, which is not installed" in said
    assert said.rstrip().endswith('pip install "semcore[documents]"')


def test_the_emulator_names_its_extra(tmp_path: Path) -> None:
    code = """
from batch_emulator import Emulator, MissingServerError
try:
    Emulator(folder / "emulator.db")
except MissingServerError as error:
    print(error)
"""
    assert 'pip install "semcore[emulator]"' in run(code, tmp_path).stdout


def test_a_url_of_a_database_names_its_extra(tmp_path: Path) -> None:
    code = """
try:
    PeeweeVectorStore("postgresql://127.0.0.1:1/notes")
except MissingExtraError as error:
    print(error)
"""
    said = run(code, tmp_path).stdout
    assert said.startswith("A PostgreSQL database needs psycopg")
    assert said.rstrip().endswith('pip install "semcore[postgres]"')


def test_the_command_says_one_line(tmp_path: Path) -> None:
    done = run("from semantic_core.cli import main\nmain()", tmp_path, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'The semcore command needs typer: pip install "semcore[cli]"\n'


def test_no_module_but_the_commands_and_the_other_database_needs_an_extra(tmp_path: Path) -> None:
    code = """
import importlib, pkgutil
import batch_emulator, semantic_core
for package in (semantic_core, batch_emulator):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            print(module.name, error.name)
"""
    needing = {line.split()[0] for line in run(code, tmp_path).stdout.splitlines()}
    server = {f"batch_emulator.{name}" for name in ("app", "background", "responses")}
    assert server < needing
    others = ("semantic_core.cli.", "semantic_core.database.postgres.")
    assert all(name.startswith(others) for name in needing - server)


def test_the_version_is_said_without_importing_what_it_belongs_to() -> None:
    """All commands take ten times as long to import."""
    code = """
import sys
from semantic_core.cli import main
sys.argv = ["semcore", "--version"]
main()
print(sorted({"typer", "rich", "numpy", "peewee", "httpx2"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, imported = done.stdout.splitlines()
    assert version.startswith("semcore ")
    assert imported == "[]"
