from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from batch_emulator import Emulator, EmulatorConfig
from batch_emulator.files import Contents
from batch_emulator.state import State
from support.clock import ManualClock
from support.keys import canary
from support.raw_api import RawApi, jsonl, line

HOUR = 3600.0


def test_a_chunk_whose_reply_was_lost_may_be_sent_again(api: RawApi) -> None:
    url = api.start_upload(10).headers["x-goog-upload-url"]
    for _ in range(2):
        reply = api.send_chunk(url, b"12345", command="upload")
        assert reply.headers["x-goog-upload-status"] == "active"
    for _ in range(2):
        reply = api.send_chunk(url, b"67890", offset=5)
        assert reply.headers["x-goog-upload-status"] == "final"
        assert reply.json()["file"]["sizeBytes"] == "10"


@pytest.mark.parametrize(
    ("offset", "data"), [(0, b"54321"), (3, b"45678"), (6, b"xxxx"), (0, b"1234567")]
)
def test_a_chunk_that_does_not_continue_the_file_is_refused(
    api: RawApi, offset: int, data: bytes
) -> None:
    url = api.start_upload(10).headers["x-goog-upload-url"]
    api.send_chunk(url, b"12345", command="upload")
    reply = api.send_chunk(url, data, offset=offset)
    assert reply.status_code == 400
    # Without this header the SDK would try again and again.
    assert reply.headers["x-goog-upload-status"] == "final"


def test_a_file_of_another_size_than_announced_is_refused(api: RawApi) -> None:
    url = api.start_upload(10).headers["x-goog-upload-url"]
    assert api.send_chunk(url, b"12345").status_code == 400
    assert api.get("files") == {}


def test_an_unknown_session_is_refused(api: RawApi) -> None:
    url = api.start_upload(1).headers["x-goog-upload-url"].replace("upload_id=", "upload_id=x")
    assert api.send_chunk(url, b"1").status_code == 404


def test_the_upload_url_names_the_host_the_client_called(emulator: Emulator) -> None:
    with RawApi(emulator.url.replace("127.0.0.1", "localhost")) as api:
        url = api.start_upload(1).headers["x-goog-upload-url"]
    assert url.startswith("http://localhost:")


def test_a_file_is_described_as_google_does(api: RawApi) -> None:
    name = api.upload(b"content", display_name="in")
    file = api.get(name)
    assert file["sizeBytes"] == "7"
    assert base64.b64decode(file["sha256Hash"]).decode() == hashlib.sha256(b"content").hexdigest()
    assert (file["state"], file["source"], file["displayName"]) == ("ACTIVE", "UPLOADED", "in")
    assert file["createTime"].endswith("Z")
    assert "downloadUri" not in file


@pytest.mark.parametrize("file_id", ["a" * 41, "Upper", "-dash", "dash-", "under_score", "a/b"])
def test_a_malformed_name_is_refused(api: RawApi, file_id: str) -> None:
    assert api.start_upload(1, name=f"files/{file_id}").status_code == 400


def test_a_taken_name_is_refused_until_it_is_free(api: RawApi, clock: ManualClock) -> None:
    name = api.upload(b"1", name="files/mine")
    taken = api.start_upload(1, name="files/mine")
    assert (taken.status_code, taken.json()["error"]["status"]) == (409, "ALREADY_EXISTS")
    api.http.delete(f"/v1beta/{name}")
    api.upload(b"2", name="files/mine")
    clock.advance(48 * HOUR)
    api.upload(b"3", name="files/mine")


def test_of_two_uploads_under_one_name_the_first_to_finish_wins(api: RawApi) -> None:
    first, second = (
        api.start_upload(1, name="files/mine").headers["x-goog-upload-url"] for _ in range(2)
    )
    assert api.send_chunk(second, b"2").status_code == 200
    assert api.send_chunk(first, b"1").status_code == 409
    assert len(api.get("files")["files"]) == 1


def test_files_are_gone_after_two_days(api: RawApi, clock: ManualClock) -> None:
    name = api.upload(b"1")
    clock.advance(48 * HOUR - 1)
    assert api.get(name)["name"] == name
    clock.advance(1)
    assert api.http.get(f"/v1beta/{name}").status_code == 403
    assert api.get("files") == {}


def test_an_uploaded_file_cannot_be_downloaded(api: RawApi) -> None:
    assert api.download(api.upload(b"1")).status_code == 400


def test_a_result_file_is_downloaded_whole_and_described(api: RawApi) -> None:
    job = api.create([line(str(number), f"text {number}") for number in range(500)])
    name = api.get(job)["metadata"]["output"]["responsesFile"]
    assert len(name.removeprefix("files/")) == 42
    data = api.results(job)
    file = api.get(name)
    assert file["sizeBytes"] == str(len(data))
    assert file["source"] == "GENERATED"
    assert api.http.get(file["downloadUri"]).content == data


def test_too_large_a_file_is_refused(tmp_path: Path) -> None:
    config = EmulatorConfig(largest_file=100)
    with Emulator(tmp_path / "e.db", config=config) as emulator, RawApi(emulator.url) as api:
        assert api.start_upload(101).status_code == 400
        url = api.start_upload(100).headers["x-goog-upload-url"]
        assert api.send_chunk(url, bytes(101)).status_code == 400


def test_another_project_sees_no_file(emulator: Emulator, api: RawApi) -> None:
    name = api.upload(jsonl([line("a", "alpha")]))
    with RawApi(emulator.url, canary("another")) as other:
        assert other.get("files") == {}
        assert other.http.get(f"/v1beta/{name}").status_code == 403
        assert other.http.delete(f"/v1beta/{name}").status_code == 403
        assert other.post_create(name).status_code == 403
    assert api.get(name)["name"] == name


def test_files_are_listed_in_pages(api: RawApi) -> None:
    names = {api.upload(b"1") for _ in range(7)}
    first = api.get("files", pageSize=4)
    second = api.get("files", page_size=4, page_token=first["nextPageToken"])
    assert len(first["files"]) == 4
    assert {one["name"] for one in first["files"] + second["files"]} == names
    assert "nextPageToken" not in second
    assert api.http.get("/v1beta/files", params={"pageSize": "many"}).status_code == 400


def test_a_start_removes_what_a_killed_process_left(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "e.db"
    with Emulator(path, clock=clock) as emulator, RawApi(emulator.url) as api:
        kept = api.upload(b"kept", name="files/kept")
        started = api.start_upload(4).headers["x-goog-upload-url"]
        api.send_chunk(started, b"ha", command="upload")
    state = State(path)
    contents = Contents(state)
    contents.append(contents.create(), 0, b"half a result")
    state.close()
    with Emulator(path, clock=clock) as emulator, RawApi(emulator.url) as api:
        rest = api.send_chunk(
            started.replace(started.split("/")[2], api.http.base_url.netloc.decode()),
            b"lf",
            offset=2,
        )
        assert rest.status_code == 200, "an upload under way goes on"
        assert api.get(kept)["sizeBytes"] == "4"
    clock.advance(48 * HOUR)
    with Emulator(path, clock=clock):
        pass
    state = State(path)
    assert state.rows("SELECT * FROM parts") == []
    state.close()
