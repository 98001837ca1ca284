"""The listing of files, whatever it holds."""

from __future__ import annotations

from typing import Any

import pytest

from batch_emulator import Emulator, EmulatorConfig
from semantic_core.domain.errors import ProviderProtocolError
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
from semantic_core.providers.gemini.listing import read_files
from support.keys import canary


def pages(*contents: dict[str, Any]) -> list[tuple[str, str | None]]:
    left = list(contents)
    return [(file.name, file.display_name) for file in read_files(lambda query: left.pop(0))]


def test_files_are_read_over_all_pages() -> None:
    assert pages(
        {"files": [{"name": "files/a", "displayName": "one"}], "nextPageToken": "more"},
        {"nextPageToken": "more still"},
        {"files": [{"name": "files/b"}]},
    ) == [("files/a", "one"), ("files/b", None)]


def test_what_no_url_may_hold_is_left_out() -> None:
    """E20"""
    odd: list[Any] = [None, 1, {}, {"name": 1}, {"name": "files/../x"}, {"name": "batches/a"}]
    assert pages({"files": [*odd, {"name": "files/a", "displayName": 7}]}) == [("files/a", None)]
    assert pages({"files": "none"}) == []


def test_an_endless_listing_ends() -> None:
    with pytest.raises(ProviderProtocolError):
        list(read_files(lambda query: {"nextPageToken": "again"}))


def test_the_clients_own_files_are_listed(tmp_path: Any) -> None:
    config = EmulatorConfig(largest_page=2)
    with (
        Emulator(tmp_path / "emulator.db", config=config) as emulator,
        GeminiBatchClient(canary("listing"), endpoint=Endpoint(base_url=emulator.url)) as client,
    ):
        for name in ("ours-1", "ours-2", "theirs", "ours-3"):
            client.stage([b"{}\n"], name=name, spool=tmp_path / "spool")
        listed = client.staged_files("ours-")
        assert {file.display_name for file in listed} == {"ours-1", "ours-2", "ours-3"}
        assert client.remove(files=[file.name for file in listed])
        assert [file.display_name for file in client.staged_files()] == ["theirs"]
