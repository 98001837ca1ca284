"""What scripts wrote into the documentation is what they would write today."""

from __future__ import annotations

import re
import runpy
from html import escape
from pathlib import Path
from typing import Any

import pytest
import yaml

from semantic_core.domain import errors
from support.pages import README, ROOT

DOCS = ROOT / "docs"
SCRIPTS = ROOT / "scripts"

# Pages draw what they need themselves; a name space is no address.
_FETCHED = re.compile(r"""(?:src|href|url)\s*[=(]\s*["']?(https?:)?//[^"')\s]+""")


def script(name: str) -> dict[str, Any]:
    return runpy.run_path(str(SCRIPTS / name))


def configuration() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return loaded


def test_the_reference_of_the_commands_is_current() -> None:
    """`make docs` writes it anew."""
    namespace = script("cli_reference.py")
    assert namespace["PAGE"].read_text(encoding="utf-8") == namespace["page"]()


def test_the_picture_of_the_terminal_shows_commands_that_exist() -> None:
    """`make screenshot` takes it anew; ids and times in it change, so it is not compared."""
    known = {name for line in help_lines() for name in line.split()[:1]}
    typed = [line for line in script("screenshot.py")["COMMANDS"] if line.startswith("semcore ")]
    picture = (DOCS / "images" / "terminal.svg").read_text(encoding="utf-8")
    assert typed
    for line in typed:
        assert line.split()[1] in known
        assert escape(line.split(" -n")[0]).replace(" ", "&#160;") in picture


def help_lines() -> list[str]:
    page: str = script("cli_reference.py")["page"]()
    return re.findall(
        r"^  (\w.*)$", page.partition("Commands:")[2].partition("```")[0], re.MULTILINE
    )


def test_the_diagrams_are_current() -> None:
    pictures = script("diagrams.py")["pictures"]()
    assert set(pictures) == {path.name for path in (DOCS / "images").glob("[fs]*-*.svg")}
    for name, picture in pictures.items():
        assert (DOCS / "images" / name).read_text(encoding="utf-8") == picture, name


def leaves() -> set[str]:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.SemanticCoreError)
    ]
    return {kind.__name__ for kind in kinds if not kind.__subclasses__()}


def test_the_guide_explains_every_error_once() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|(.*)\|$", (DOCS / "how-to/errors.md").read_text(), re.MULTILINE
    )
    assert sorted(name for name, _ in rows) == sorted(leaves())
    for name, cells in rows:
        assert all(cell.strip() for cell in cells.split("|")), name


def test_the_readme_and_the_site_fetch_nothing() -> None:
    """No font, script or badge of another host: a page shows all it has without a network."""
    for path in [README, *DOCS.rglob("*")]:
        if path.suffix in {".md", ".svg", ".css"}:
            assert not _FETCHED.search(path.read_text(encoding="utf-8")), path
    assert configuration()["theme"]["font"] is False


def pages_of(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    items = nav.values() if isinstance(nav, dict) else nav
    return [page for item in items for page in pages_of(item)]


def test_every_page_is_in_the_navigation() -> None:
    there = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert sorted(pages_of(configuration()["nav"])) == sorted(there)


@pytest.mark.parametrize(
    "path", sorted((DOCS / "images").glob("*.svg")), ids=lambda path: path.name
)
def test_a_picture_names_what_it_shows(path: Path) -> None:
    assert "<title>" in path.read_text(encoding="utf-8")
