from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from google import genai
from google.genai import errors, types

from batch_emulator import Drop, Emulator, FaultRule, Operation, fake_embed
from batch_emulator.errors import EmulatorError
from support.clock import ManualClock
from support.keys import SHOWN_KEY, canary
from support.raw_api import KEY, MODEL, RawApi, line

# The SDK warns at every create, in the name of its caller.
pytestmark = pytest.mark.filterwarnings("ignore:.*experimental")

SERVE = """
import sys
from batch_emulator import Emulator
server = Emulator(sys.argv[1])
with server:
    print(server.url, flush=True)
    server.serve_forever()
print("stopped", flush=True)
"""


def open_client(url: str, key: str = KEY) -> genai.Client:
    options = types.HttpOptions(base_url=url, api_version="v1beta", timeout=60_000)
    return genai.Client(api_key=key, http_options=options, vertexai=False)


def input_of(rows: dict[str, str]) -> io.BytesIO:
    return io.BytesIO(
        b"".join(
            json.dumps(line(key, text, taskType="RETRIEVAL_DOCUMENT")).encode() + b"\n"
            for key, text in rows.items()
        )
    )


def test_the_real_client_gets_from_upload_to_vectors(emulator: Emulator) -> None:
    rows = {"doc-1": "hello world", "doc-2": "goodbye\u2028and \u00e4 new line", "doc-3": "  "}
    with open_client(emulator.url) as client:
        file = client.files.upload(
            file=input_of(rows), config={"mime_type": "application/jsonl", "display_name": "in"}
        )
        assert client.files.get(name=file.name).display_name == "in"
        job = client.batches.create_embeddings(
            model=MODEL, src={"file_name": file.name}, config={"display_name": "run-42"}
        )
        assert (job.display_name, job.model) == ("run-42", f"models/{MODEL}")
        assert job.state == types.JobState.JOB_STATE_PENDING
        job = client.batches.get(name=job.name)
        assert job.state == types.JobState.JOB_STATE_SUCCEEDED
        data = client.files.download(file=job.dest.file_name)
        records = {one["key"]: one for one in map(json.loads, data.split(b"\n")[:-1])}
        assert [one.name for one in client.batches.list()] == [job.name]
        assert len(list(client.files.list())) == 2
        client.batches.delete(name=job.name)
        client.files.delete(name=file.name)
        with pytest.raises(errors.ClientError, match="cannot be more than 40 characters"):
            client.files.delete(name=job.dest.file_name)
    for key in ("doc-1", "doc-2"):
        expected = fake_embed(rows[key], dimensions=8, task_type="RETRIEVAL_DOCUMENT")
        assert records[key]["response"]["embedding"]["values"] == pytest.approx(expected)
        assert isinstance(records[key]["response"]["tokenCount"], str)
        assert list(records[key])[-1] == "key"
    assert "no text" in records["doc-3"]["error"]["message"]
    assert emulator.ledger.times_billed("hello world") == 1
    assert emulator.ledger.times_billed(rows["doc-3"]) == 0
    assert emulator.violations == []


def test_the_real_client_embeds_live(emulator: Emulator) -> None:
    config = types.EmbedContentConfig(output_dimensionality=16, task_type="RETRIEVAL_QUERY")
    texts = ["one", "two", "three"]
    with open_client(emulator.url) as client:
        contents = [types.Content(parts=[types.Part(text=text)]) for text in texts]
        answer = client.models.embed_content(model=MODEL, contents=contents, config=config)
    for text, embedding in zip(texts, answer.embeddings, strict=True):
        expected = fake_embed(text, dimensions=16, task_type="RETRIEVAL_QUERY")
        assert embedding.values == pytest.approx(expected)
    assert emulator.ledger.billed(live=True).total() == 3
    assert emulator.ledger.billed(live=False).total() == 0


def test_the_real_client_uploads_in_several_chunks(emulator: Emulator) -> None:
    data = os.urandom(16 * 1024**2) + b"tail!"
    with open_client(emulator.url) as client:
        file = client.files.upload(
            file=io.BytesIO(data), config={"mime_type": "application/jsonl", "name": "big-one"}
        )
        empty = client.files.upload(
            file=io.BytesIO(b""), config={"mime_type": "application/jsonl", "name": "empty"}
        )
        with pytest.raises(errors.ClientError) as taken:
            client.files.upload(
                file=io.BytesIO(b"x"), config={"mime_type": "text/plain", "name": "big-one"}
            )
    assert (file.name, file.size_bytes) == ("files/big-one", len(data))
    assert empty.name == "files/empty"
    assert taken.value.code == 409
    assert len(emulator.calls(Operation.UPLOAD)) == 4


def test_the_real_client_lists_over_several_pages(emulator: Emulator) -> None:
    with open_client(emulator.url) as client:
        name = client.files.upload(
            file=input_of({"k": "text"}), config={"mime_type": "application/jsonl"}
        ).name
        made = [
            client.batches.create_embeddings(model=MODEL, src={"file_name": name}).name
            for _ in range(5)
        ]
        listed = [one.name for one in client.batches.list(config={"page_size": 2})]
        files = [one.name for one in client.files.list(config={"page_size": 2})]
    assert listed == made[::-1]
    assert len(files) == len(set(files)) == 6
    assert len(emulator.calls(Operation.LIST)) == 3


def test_a_restart_goes_on_where_it_stood(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "state.db"
    with Emulator(path, clock=clock) as first, RawApi(first.url) as api:
        job = api.create([line("a", "alpha")], display_name="kept")
        rule = first.add_fault(FaultRule(effect=Drop(), operation=Operation.CANCEL, skip=3))
        first.revoke_key(canary("old"))
    with Emulator(path, clock=clock) as second, RawApi(second.url) as api:
        assert api.state(job) == "BATCH_STATE_SUCCEEDED"
        assert [one["key"] for one in api.lines(job)] == ["a"]
        assert second.faults[rule].skip == 3
        assert second.ledger.creates() == {"kept": 1}
        assert [one.operation for one in second.calls(Operation.CREATE)] == [Operation.CREATE]
        with RawApi(second.url, canary("old")) as refused:
            assert refused.http.get("/v1beta/files").status_code == 400


def start_child(state: Path) -> tuple[subprocess.Popen[str], str]:
    child = subprocess.Popen(
        [sys.executable, "-W", "error", "-X", "dev", "-c", SERVE, str(state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    return child, child.stdout.readline().strip()


def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    child, url = start_child(path)
    with RawApi(url) as api:
        job = api.create([line("a", "alpha"), line("b", "beta")])
        child.kill()
        child.communicate()
    with Emulator(path) as emulator, RawApi(emulator.url) as api:
        assert sorted(one["key"] for one in api.lines(job)) == ["a", "b"]
        assert emulator.ledger.times_billed("alpha") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    child, url = start_child(tmp_path / "state.db")
    with RawApi(url) as api:
        assert api.get("files") == {}
        child.send_signal(number)
        out, err = child.communicate(timeout=300)
    # In development mode asyncio tells what takes long, which a busy machine alone can make it.
    said = re.sub(r"Executing <Task .* took [\d.]+ seconds\n", "", err)
    assert (out, said, child.returncode) == ("stopped\n", "", 0)


def test_another_process_reads_the_ledger_and_adds_faults(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    child, url = start_child(path)
    try:
        other = Emulator(path)
        with RawApi(url) as api:
            job = api.create([line("a", "alpha")])
            assert other.ledger.times_billed("alpha") == 0, "looking must not run the job"
            assert api.state(job) == "BATCH_STATE_SUCCEEDED"
            assert other.ledger.times_billed("alpha") == 1
            other.add_fault(FaultRule(effect=Drop(), operation=Operation.LIST))
            with pytest.raises(Exception, match="disconnected"):
                api.get("batches")
        other.stop()
    finally:
        child.terminate()
        child.communicate()


def test_stopping_leaves_no_thread_and_frees_the_port(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with Emulator(tmp_path / "state.db") as emulator, RawApi(emulator.url) as api:
        api.get("files")
        port = int(emulator.url.rpartition(":")[2])
    assert set(threading.enumerate()) - before == set()
    with Emulator(tmp_path / "state.db", port=port) as again:
        assert again.url.endswith(f":{port}")
        again.stop()
        again.stop()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        emulator = Emulator(tmp_path / "state.db", port=port)
        with pytest.raises(EmulatorError, match=f"{port}"):
            emulator.start()
        emulator.stop()


def test_its_url_needs_a_running_server(tmp_path: Path) -> None:
    emulator = Emulator(tmp_path / "state.db")
    with pytest.raises(EmulatorError, match="does not run"):
        assert emulator.url
    emulator.stop()


def test_a_stopped_one_says_so(tmp_path: Path) -> None:
    with Emulator(tmp_path / "state.db") as emulator:
        pass
    with pytest.raises(EmulatorError, match="was stopped"):
        assert emulator.ledger
    with pytest.raises(EmulatorError, match="was stopped"):
        emulator.start()


def test_a_missing_extra_names_what_to_install(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["uvicorn"] = None
from batch_emulator import Emulator, MissingServerError, fake_embed
fake_embed("works without")
try:
    Emulator(sys.argv[1])
except MissingServerError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "state.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 'pip install "semcore[emulator]"' in done.stdout
    assert not (tmp_path / "state.db").exists()


def test_the_state_file_holds_no_key(emulator: Emulator, api: RawApi, tmp_path: Path) -> None:
    api.results(api.create([line("a", "alpha")]))
    emulator.revoke_key(KEY)
    api.http.get("/v1beta/files", params={"key": SHOWN_KEY})
    emulator.stop()
    kept = b"".join(one.read_bytes() for one in tmp_path.glob("emulator.db*"))
    assert KEY.encode() not in kept
    assert SHOWN_KEY.encode() not in kept
