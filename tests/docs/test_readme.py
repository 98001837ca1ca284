"""What the README names exists. Its code blocks run in ``test_pages``."""

from __future__ import annotations

import re

from support.pages import README, ROOT

TEXT = README.read_text(encoding="utf-8")


def test_make_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z0-9]+)", TEXT))
    assert targets >= {"demo", "test", "help", "e2e"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_paths_and_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", TEXT)
    links += re.findall(r'(?:src|srcset)="([^"]+)"', TEXT)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
