"""The batch client on the wire: what is sent, exactly, and what each answer means."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from semantic_core.domain.errors import (
    AuthError,
    InvalidInputError,
    InvalidTextError,
    MissingBatchKeyError,
    NotBatchableError,
    ProviderError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RateLimitError,
    RemoteNotFoundError,
    RequestRefusedError,
    StorageError,
    StorageFullError,
    TransitionError,
)
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.gemini.client import GeminiBatchClient
from semantic_core.providers.gemini.endpoint import Endpoint
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.providers.gemini.requests import request_encoder
from semantic_core.providers.types import EmbeddingRequest, RemoteJob, RemoteState, Staged
from support.clock import ManualClock
from support.disk import no_file_larger_than
from support.keys import canary
from support.wire import Answer, Chunks, ScriptedTransport, answer, jobs_named, refusal

KEY = canary("4711")
HOST = "https://generativelanguage.googleapis.com"
UPLOAD_URL = f"{HOST}/upload/v1beta/files?upload_id=u1&upload_protocol=resumable"
SPEC = EmbeddingSpec()
JOB = "batches/" + "j" * 36
RESULT = "files/batch-" + "j" * 36
REQUESTS = [EmbeddingRequest(key="k1", text="one"), EmbeddingRequest(key="k2", text="zwei é")]
LINES = b"".join(request_encoder(SPEC)(request) for request in REQUESTS)
BUSY = answer({}, code=503)

UPLOADED = {
    "file": {
        "name": "files/in-1",
        "sizeBytes": str(len(LINES)),
        "sha256Hash": base64.b64encode(hashlib.sha256(LINES).hexdigest().encode()).decode(),
        "state": "ACTIVE",
    }
}

FINISHED = RemoteJob(
    name=JOB,
    state=RemoteState.SUCCEEDED,
    raw_state="BATCH_STATE_SUCCEEDED",
    input_file="files/in-1",
    result_file=RESULT,
)


@pytest.fixture
def connect(
    clock: ManualClock,
) -> Iterator[Callable[..., tuple[GeminiBatchClient, ScriptedTransport]]]:
    clients = []

    def build(*answers: Answer) -> tuple[GeminiBatchClient, ScriptedTransport]:
        transport = ScriptedTransport(*answers)
        client = GeminiBatchClient(
            KEY, endpoint=Endpoint(base_url=HOST), clock=clock, transport=transport
        )
        clients.append(client)
        return client, transport

    yield build
    for client in clients:
        client.close()


Connect = Callable[..., tuple[GeminiBatchClient, ScriptedTransport]]


def started(url: str = UPLOAD_URL) -> httpx2.Response:
    return answer({}, X_Goog_Upload_URL=url)


def uploaded(body: Any = None) -> httpx2.Response:
    return answer(UPLOADED if body is None else body, X_Goog_Upload_Status="final")


def operation(
    state: str = "BATCH_STATE_PENDING", name: str = JOB, **metadata: Any
) -> dict[str, Any]:
    return {"name": name, "metadata": {"state": state, **metadata}}


# --- upload ----------------------------------------------------------------------------


def test_an_upload_is_sent_as_google_documents_it(connect: Connect, tmp_path: Path) -> None:
    client, transport = connect(started(), uploaded())
    spool = tmp_path / "spool"
    file = client.stage(map(request_encoder(SPEC), REQUESTS), name="run-1", spool=spool)
    assert file == Staged(name="files/in-1", request_count=2, byte_count=len(LINES))
    start, piece = transport.sent
    assert (start.method, start.url) == ("POST", f"{HOST}/upload/v1beta/files")
    assert start.json == {
        "file": {
            "display_name": "run-1",
            "mime_type": "application/jsonl",
            "size_bytes": len(LINES),
        }
    }
    assert start.headers["x-goog-api-key"] == KEY
    assert start.headers["x-goog-upload-command"] == "start"
    # The name of the file on this disk is nobody's business.
    assert "x-goog-upload-file-name" not in start.headers
    assert (piece.method, piece.url) == ("POST", UPLOAD_URL)
    assert piece.headers["x-goog-upload-command"] == "upload, finalize"
    assert piece.body == LINES
    assert not spool.exists()


def test_a_long_file_goes_in_pieces(connect: Connect, tmp_path: Path) -> None:
    text = "x" * 1_000_000
    requests = [EmbeddingRequest(key=str(number), text=text) for number in range(20)]
    content = b"".join(request_encoder(SPEC)(request) for request in requests)
    more = [answer(b"", X_Goog_Upload_Status="active") for _ in range(2)]
    client, transport = connect(
        started(), *more, uploaded({"file": {"name": "files/in-1", "state": "ACTIVE"}})
    )
    client.stage(map(request_encoder(SPEC), requests), name="r", spool=tmp_path / "spool")
    assert b"".join(sent.body for sent in transport.sent[1:]) == content


@pytest.mark.parametrize(
    "faults",
    [
        [BUSY],
        [httpx2.ConnectError("no")],
        [started(), httpx2.WriteError("reset")],
        [started(), BUSY],
        [started(), answer({})],
        [started(), uploaded({"file": {**UPLOADED["file"], "sizeBytes": "3"}})],
        [started(), uploaded({"file": {**UPLOADED["file"], "sha256Hash": "AAAA"}})],
        [started(), uploaded({"file": {**UPLOADED["file"], "sha256Hash": "not base64"}})],
    ],
)
def test_an_upload_that_fails_is_sent_again_from_its_start(
    connect: Connect, clock: ManualClock, tmp_path: Path, faults: list[Answer]
) -> None:
    """B1: it costs nothing, and no half of it is ever used."""
    faults = [one() if callable(one) else one for one in faults]
    client, transport = connect(*faults, started(), uploaded())
    spool = tmp_path / "spool"
    file = client.stage(map(request_encoder(SPEC), REQUESTS), name="r", spool=spool)
    assert file.name == "files/in-1"
    assert transport.sent[-1].body == LINES
    assert transport.left == 0
    assert clock.slept == [2.0]
    assert not spool.exists()


def test_whoever_watches_an_upload_may_end_it(connect: Connect, tmp_path: Path) -> None:
    """A4: its job may have been taken over meanwhile."""
    client, transport = connect(started())
    spool = tmp_path / "spool"

    def give_up() -> None:
        raise TransitionError

    with pytest.raises(TransitionError):
        client.stage(map(request_encoder(SPEC), REQUESTS), name="r", spool=spool, keep=give_up)
    assert transport.left == 0
    assert not spool.exists()


def test_uploading_is_given_up_after_a_few_tries(
    connect: Connect, clock: ManualClock, tmp_path: Path
) -> None:
    client, transport = connect(*[answer({}, code=503) for _ in range(9)])
    spool = tmp_path / "spool"
    with pytest.raises(ProviderUnavailableError):
        client.stage(map(request_encoder(SPEC), REQUESTS), name="r", spool=spool)
    assert len(transport.sent) == 4
    assert clock.slept == [2.0, 4.0, 8.0]
    assert not spool.exists()


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([refusal(401, "UNAUTHENTICATED", "no")], AuthError),
        ([refusal(400, "INVALID_ARGUMENT", "no")], RequestRefusedError),
        ([answer({})], ProviderProtocolError),
        ([started("https://evil.example/upload")], ProviderProtocolError),
        ([started("/upload/relative")], ProviderProtocolError),
        ([started(), uploaded({"file": {"name": "files/../x"}})], ProviderProtocolError),
        ([started(), uploaded({"file": {}})], ProviderProtocolError),
        ([started(), uploaded({})], ProviderProtocolError),
        ([started(), uploaded(b"<html>")], ProviderProtocolError),
        ([KeyboardInterrupt()], KeyboardInterrupt),
        ([started(), KeyboardInterrupt()], KeyboardInterrupt),
    ],
)
def test_a_refused_or_odd_upload_is_not_sent_again(
    connect: Connect, tmp_path: Path, answers: list[Answer], error: type[BaseException]
) -> None:
    client, transport = connect(*answers)
    spool = tmp_path / "spool"
    with pytest.raises(error):
        client.stage(map(request_encoder(SPEC), REQUESTS), name="r", spool=spool)
    assert transport.left == 0
    assert not spool.exists()


def test_a_file_that_is_not_ready_is_waited_for(
    connect: Connect, clock: ManualClock, tmp_path: Path
) -> None:
    body = {"file": {**UPLOADED["file"], "state": "PROCESSING"}}
    client, transport = connect(
        started(), uploaded(body), answer({"state": "PROCESSING"}), answer({"state": "ACTIVE"})
    )
    client.stage(map(request_encoder(SPEC), REQUESTS), name="r", spool=tmp_path / "spool")
    assert [sent.path for sent in transport.sent[2:]] == ["/v1beta/files/in-1"] * 2
    assert clock.slept == [1.0]


def test_a_file_the_provider_cannot_use_is_an_error(connect: Connect, tmp_path: Path) -> None:
    body = {"file": {**UPLOADED["file"], "state": "FAILED"}}
    client, _ = connect(started(), uploaded(body), answer({"state": "FAILED"}))
    with pytest.raises(ProviderProtocolError, match="files/in-1"):
        client.stage(map(request_encoder(SPEC), REQUESTS), name="r", spool=tmp_path / "spool")


def test_a_bad_text_is_found_before_anything_is_sent(connect: Connect, tmp_path: Path) -> None:
    client, transport = connect()
    bad = [*REQUESTS, EmbeddingRequest(key="k3", text="\ud800")]
    with pytest.raises(InvalidTextError):
        client.stage(map(request_encoder(SPEC), bad), name="r", spool=tmp_path / "spool")
    assert transport.sent == []
    assert list(tmp_path.iterdir()) == []


def test_somebody_else_s_file_is_neither_used_nor_removed(connect: Connect, tmp_path: Path) -> None:
    client, transport = connect()
    spool = tmp_path / "spool"
    spool.write_text("somebody's")
    with pytest.raises(StorageError):
        client.stage(map(request_encoder(SPEC), REQUESTS), name="r", spool=spool)
    assert spool.read_text() == "somebody's"
    assert transport.sent == []


# --- create ----------------------------------------------------------------------------


def test_a_job_is_created_with_one_request(connect: Connect) -> None:
    client, transport = connect(
        answer(
            operation(
                model="models/gemini-embedding-001",
                displayName="run-1",
                createTime="2025-09-10T13:37:39.328452Z",
            )
        )
    )
    job = client.create("files/in-1", spec=SPEC, name="run-1")
    (sent,) = transport.sent
    assert sent.method == "POST"
    assert sent.url == f"{HOST}/v1beta/models/gemini-embedding-001:asyncBatchEmbedContent"
    assert sent.json == {
        "batch": {"inputConfig": {"file_name": "files/in-1"}, "displayName": "run-1"}
    }
    assert sent.headers["x-goog-api-key"] == KEY
    assert (job.name, job.state) == (JOB, RemoteState.QUEUED)
    assert (job.display_name, job.model) == ("run-1", "gemini-embedding-001")
    assert job.created_at == 1757511459.328452


def test_an_uploaded_file_is_taken_as_it_was_given(connect: Connect) -> None:
    client, transport = connect(answer(operation()))
    file = Staged(name="files/in-9", request_count=1, byte_count=1)
    client.create(file, spec=EmbeddingSpec.gemini_embedding_2(), name="r")
    assert transport.sent[0].json["batch"]["inputConfig"] == {"file_name": "files/in-9"}
    assert transport.sent[0].path == "/v1beta/models/gemini-embedding-2:asyncBatchEmbedContent"


@pytest.mark.parametrize("state", ["BATCH_STATE_FROM_THE_FUTURE", None])
def test_an_unknown_state_of_a_new_job_is_no_reason_to_lose_it(
    connect: Connect, state: str | None
) -> None:
    client, _ = connect(answer({"name": JOB, "metadata": {"state": state} if state else {}}))
    job = client.create("files/in-1", spec=SPEC, name="run-1")
    assert (job.name, job.state) == (JOB, RemoteState.UNKNOWN)


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (refusal(400, "INVALID_ARGUMENT", "bad file"), RequestRefusedError),
        (refusal(400, "FAILED_PRECONDITION", "no billing"), RequestRefusedError),
        (refusal(401, "UNAUTHENTICATED", "no"), AuthError),
        (refusal(403, "PERMISSION_DENIED", "no"), AuthError),
        (refusal(404, "NOT_FOUND", "models/x is not found"), RemoteNotFoundError),
        (refusal(429, "RESOURCE_EXHAUSTED", "quota"), RateLimitError),
        (httpx2.ConnectError("refused"), ProviderUnavailableError),
    ],
)
def test_a_definite_refusal_says_so(
    connect: Connect, response: Answer, kind: type[ProviderError]
) -> None:
    """B9 to B11: surely no job, so that its texts may go with another one."""
    client, transport = connect(response)
    with pytest.raises(ProviderError) as caught:
        client.create("files/in-1", spec=SPEC, name="r")
    assert type(caught.value) is kind
    assert caught.value.is_definite
    assert len(transport.sent) == 1


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (answer({}, code=500), ProviderUnavailableError),
        (answer({}, code=502), ProviderUnavailableError),
        (answer(b"upstream", code=503), ProviderUnavailableError),
        (answer({}, code=504), ProviderUnavailableError),
        (answer({}, code=408), ProviderUnavailableError),
        (answer({}, code=409), ProviderUnavailableError),
        (answer({}, code=499), ProviderUnavailableError),
        (httpx2.ReadTimeout("slow"), ProviderUnavailableError),
        (httpx2.WriteTimeout("slow"), ProviderUnavailableError),
        (httpx2.ReadError("reset"), ProviderUnavailableError),
        (httpx2.WriteError("reset"), ProviderUnavailableError),
        (httpx2.RemoteProtocolError("cut"), ProviderUnavailableError),
        (answer({}, code=302, location="https://evil.example"), ProviderProtocolError),
        (answer({}, code=204), ProviderProtocolError),
        (answer(b"<html>hotel</html>"), ProviderProtocolError),
        (answer(b""), ProviderProtocolError),
        (answer({}), ProviderProtocolError),
        (answer([]), ProviderProtocolError),
        (answer({"metadata": {"state": "BATCH_STATE_PENDING"}}), ProviderProtocolError),
        (answer({"name": "batches/../x"}), ProviderProtocolError),
        (answer({"name": 3}), ProviderProtocolError),
        (answer({"name": JOB, "metadata": {"createTime": "soon"}}), ProviderProtocolError),
    ],
)
def test_an_ambiguous_answer_is_not_definite_and_never_sent_again(
    connect: Connect, response: Answer, kind: type[ProviderError]
) -> None:
    """B5, B6, B12, B13: the job may exist, and a second one would be paid for again."""
    client, transport = connect(response)
    with pytest.raises(ProviderError) as caught:
        client.create("files/in-1", spec=SPEC, name="r")
    assert type(caught.value) is kind
    assert not caught.value.is_definite
    assert len(transport.sent) == 1


def test_an_answer_that_breaks_off_is_not_definite(connect: Connect) -> None:
    body = Chunks(b'{"name":"batches/', httpx2.ReadError("reset"))
    client, transport = connect(httpx2.Response(200, stream=body))
    with pytest.raises(ProviderUnavailableError) as caught:
        client.create("files/in-1", spec=SPEC, name="r")
    assert not caught.value.is_definite
    assert len(transport.sent) == 1


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(1)])
def test_an_interrupt_passes_through_creation(connect: Connect, interrupt: BaseException) -> None:
    """B15: the caller must not take it for an answer."""
    client, transport = connect(interrupt)
    with pytest.raises(type(interrupt)):
        client.create("files/in-1", spec=SPEC, name="r")
    assert len(transport.sent) == 1


def test_a_limit_says_how_long(connect: Connect) -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "27s"}
    client, _ = connect(refusal(429, "RESOURCE_EXHAUSTED", "quota", retry))
    with pytest.raises(RateLimitError) as caught:
        client.create("files/in-1", spec=SPEC, name="r")
    assert caught.value.retry_after == 27.0


@pytest.mark.parametrize("name", ["in-1", "files/", "files/../x", "batches/x", "https://x/files/y"])
def test_only_a_remote_name_becomes_part_of_a_creation(connect: Connect, name: str) -> None:
    client, transport = connect()
    with pytest.raises(InvalidInputError):
        client.create(name, spec=SPEC, name="r")
    assert transport.sent == []


def test_no_job_is_created_for_a_foreign_space(connect: Connect) -> None:
    client, transport = connect()
    with pytest.raises(NotBatchableError):
        client.create("files/x", spec=EmbeddingSpec.external("x"), name="r")
    assert transport.sent == []


def test_one_call_uploads_and_creates(connect: Connect, tmp_path: Path) -> None:
    client, transport = connect(started(), uploaded(), answer(operation()))
    job = client.create_embedding_job(
        REQUESTS, spec=SPEC, display_name="run-1", spool=tmp_path / "spool"
    )
    assert job.name == JOB
    assert transport.sent[-1].json["batch"]["inputConfig"] == {"file_name": "files/in-1"}


# --- look ------------------------------------------------------------------------------


def test_a_job_is_asked_for_by_its_name(connect: Connect) -> None:
    body = operation("BATCH_STATE_FAILED", batchStats={"requestCount": "3"})
    client, transport = connect(answer({**body, "error": {"code": 3, "message": "bad"}}))
    job = client.get_job_status(JOB)
    assert (transport.sent[0].method, transport.sent[0].url) == ("GET", f"{HOST}/v1beta/{JOB}")
    # The SDK would drop both.
    assert (job.error_message, job.request_count) == ("bad", 3)


def test_a_job_may_be_asked_for_by_what_came_back(connect: Connect) -> None:
    client, transport = connect(answer(operation()))
    client.get_job_status(FINISHED)
    assert transport.sent[0].path == f"/v1beta/{JOB}"


@pytest.mark.parametrize(
    "fault",
    [BUSY, refusal(429, "X", "busy"), httpx2.ReadTimeout("slow"), httpx2.ConnectError("no")],
)
def test_a_look_is_tried_again(connect: Connect, clock: ManualClock, fault: Answer) -> None:
    """C1: it changes nothing."""
    client, transport = connect(fault, fault, answer(operation()))
    assert client.get_job_status(JOB).name == JOB
    assert len(transport.sent) == 3
    assert clock.slept == [1.0, 2.0]


def test_looking_is_given_up_after_a_few_tries(connect: Connect, clock: ManualClock) -> None:
    client, transport = connect(*[answer({}, code=503) for _ in range(9)])
    with pytest.raises(ProviderUnavailableError):
        client.get_job_status(JOB)
    assert len(transport.sent) == 4


def test_a_missing_job_and_a_refused_key_are_two_things(connect: Connect) -> None:
    """B17, B18."""
    client, _ = connect(
        refusal(404, "NOT_FOUND", "no such batch"),
        refusal(403, "PERMISSION_DENIED", "You do not have permission, or it may not exist."),
        refusal(403, "PERMISSION_DENIED", "Your API key was reported as leaked."),
    )
    for _ in range(2):
        with pytest.raises(RemoteNotFoundError):
            client.get_job_status(JOB)
    with pytest.raises(AuthError):
        client.get_job_status(JOB)


@pytest.mark.parametrize(
    "name", ["", "x", "files/x", "batches/", "batches/../files/x", "batches/a/b", "batches/a?key=1"]
)
def test_only_a_job_s_name_becomes_part_of_a_url(connect: Connect, name: str) -> None:
    client, transport = connect()
    for call in (client.get_job_status, client.cancel, lambda name: client.remove(job=name)):
        with pytest.raises(InvalidInputError, match="batches/"):
            call(name)
    assert transport.sent == []


# --- list ------------------------------------------------------------------------------


def named(name: str, display_name: str | None) -> dict[str, Any]:
    return operation(name=name, **({"displayName": display_name} if display_name else {}))


def test_a_job_is_found_on_any_page(connect: Connect) -> None:
    client, transport = connect(
        answer({"operations": [named("batches/a", "other"), named("batches/b", None)],
                "nextPageToken": "t1"}),
        answer({"nextPageToken": "t2"}),
        answer({"operations": [named("batches/c", "run-1"), named("batches/d", "run-12")]}),
    )  # fmt: skip
    assert [job.name for job in jobs_named(client, "run-1")] == ["batches/c"]
    assert [sent.query for sent in transport.sent] == [
        {"pageSize": "100"},
        {"pageSize": "100", "pageToken": "t1"},
        {"pageSize": "100", "pageToken": "t2"},
    ]


def test_jobs_are_listed_by_prefix(connect: Connect) -> None:
    page = [named("batches/a", "semcore-1-x"), named("batches/b", "semcore-2-x")]
    client, _ = connect(answer({"operations": page}), answer({"operations": page}))
    assert [job.name for job in client.jobs("semcore-2-").jobs] == ["batches/b"]
    assert len(client.jobs().jobs) == 2


def test_an_empty_listing_is_complete(connect: Connect) -> None:
    client, _ = connect(answer({}))
    assert jobs_named(client, "run-1") == []


def test_other_people_s_odd_jobs_do_no_harm(connect: Connect) -> None:
    odd: dict[str, Any] = {"name": "projects/1/odd/../name", "metadata": None}
    client, _ = connect(answer({"operations": [odd, {}, named("batches/c", "run-1")]}))
    assert [job.name for job in jobs_named(client, "run-1")] == ["batches/c"]


@pytest.mark.parametrize(
    "last",
    [
        answer({"batches": [named("batches/c", "run-1")]}),
        answer({"operations": {"0": named("batches/c", "run-1")}}),
        answer({"operations": [], "unreachable": ["regions/somewhere"]}),
        answer({"operations": ["batches/c"]}),
        answer({"operations": [{"name": "batches/../c", "metadata": {"displayName": "run-1"}}]}),
        answer({"operations": [], "nextPageToken": "t1"}),
        answer({"operations": [], "nextPageToken": 3}),
        answer(b"<html>"),
    ],
)
def test_a_listing_that_may_hide_a_job_is_an_error(connect: Connect, last: httpx2.Response) -> None:
    """B8: "absent" may only be said of a whole listing; it is half of what releases a claim."""
    client, _ = connect(answer({"operations": [], "nextPageToken": "t1"}), last)
    with pytest.raises(ProviderProtocolError):
        jobs_named(client, "run-1")


def test_a_listing_that_fails_half_way_is_an_error(connect: Connect) -> None:
    busy = [answer({}, code=503) for _ in range(4)]
    first = answer({"operations": [named("batches/a", "run-1")], "nextPageToken": "t1"})
    client, transport = connect(first, *busy)
    with pytest.raises(ProviderUnavailableError):
        jobs_named(client, "run-1")
    assert len(transport.sent) == 5


def test_a_page_that_fails_once_is_asked_for_again(connect: Connect) -> None:
    first = answer({"operations": [named("batches/a", "run-1")], "nextPageToken": "t1"})
    second = answer({"operations": [named("batches/b", "run-1")]})
    client, _ = connect(first, answer({}, code=503), second)
    assert [job.name for job in jobs_named(client, "run-1")] == ["batches/a", "batches/b"]


# --- cancel ----------------------------------------------------------------------------


def test_cancelling_asks_once_more_when_the_provider_is_busy(connect: Connect) -> None:
    client, transport = connect(answer({}, code=503), answer({}))
    client.cancel(JOB)
    assert [(sent.method, sent.path) for sent in transport.sent] == [
        ("POST", f"/v1beta/{JOB}:cancel")
    ] * 2
    assert transport.sent[0].body == b""


def test_a_job_that_has_ended_cannot_be_cancelled(connect: Connect) -> None:
    client, _ = connect(refusal(400, "FAILED_PRECONDITION", "already finished"))
    with pytest.raises(RequestRefusedError):
        client.cancel(JOB)


# --- retrieve --------------------------------------------------------------------------

CONTENT = b'{"key":"a"}\n{"key":"b"}\n'


def body(
    content: bytes = CONTENT, *, length: int | None = None, kind: str = "application/octet-stream"
) -> httpx2.Response:
    """Build a download; without a length it is a body that just ends."""
    headers = {"content-type": kind}
    if length is not None:
        headers["content-length"] = str(length)
    middle = len(content) // 2
    return httpx2.Response(200, headers=headers, stream=Chunks(content[:middle], content[middle:]))


def sized(size: int = len(CONTENT)) -> httpx2.Response:
    return answer({"name": RESULT, "sizeBytes": str(size)})


def test_results_are_streamed_to_a_private_file(connect: Connect, tmp_path: Path) -> None:
    client, transport = connect(sized(), body(length=len(CONTENT)))
    path = tmp_path / "results"
    client.retrieve_results(FINISHED, path)
    assert path.read_bytes() == CONTENT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    size, content = transport.sent
    assert (size.method, size.url) == ("GET", f"{HOST}/v1beta/{RESULT}")
    assert (content.method, content.url) == ("GET", f"{HOST}/v1beta/{RESULT}:download?alt=media")
    assert content.headers["accept-encoding"] == "identity"


def test_results_of_any_size_take_little_memory(connect: Connect, tmp_path: Path) -> None:
    """C21."""
    piece = b"x" * ((1 << 20) - 1) + b"\n"
    client, _ = connect(answer({}), httpx2.Response(200, stream=Chunks(*[piece] * 64)))
    tracemalloc.start()
    try:
        client.retrieve_results(FINISHED, tmp_path / "results")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "results").stat().st_size == 64 << 20
    assert peak < 8_000_000


def test_what_was_there_is_replaced_in_one_step(connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "results"
    path.write_text("older")
    client, _ = connect(sized(), body())
    client.retrieve_results(FINISHED, path)
    assert path.read_bytes() == CONTENT


def test_a_link_in_the_place_of_the_results_is_replaced_not_followed(
    connect: Connect, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    path = tmp_path / "results"
    path.symlink_to(target)
    client, _ = connect(sized(), body())
    client.retrieve_results(FINISHED, path)
    assert target.read_text() == "precious"
    assert not path.is_symlink()


@pytest.mark.parametrize("code", [400, 403, 404])
def test_the_size_may_be_unknown(connect: Connect, tmp_path: Path, code: int) -> None:
    """Users report that a result file can be downloaded though it cannot be described."""
    client, _ = connect(refusal(code, "PERMISSION_DENIED", "no"), body())
    client.retrieve_results(FINISHED, tmp_path / "r")
    assert (tmp_path / "r").stat().st_size == len(CONTENT)


@pytest.mark.parametrize("cut", range(len(CONTENT)))
def test_a_short_body_is_never_kept(
    connect: Connect, clock: ManualClock, tmp_path: Path, cut: int
) -> None:
    """C10: cut at any byte, known by its own length or by the file's."""
    client, transport = connect(sized(), *(body(CONTENT[:cut]) for _ in range(3)), body(CONTENT))
    path = tmp_path / "results"
    client.retrieve_results(FINISHED, path)
    assert path.read_bytes() == CONTENT
    assert len(clock.slept) == 3
    short = [body(CONTENT[:cut], length=len(CONTENT)) for _ in range(4)]
    client, transport = connect(answer({}), *short)
    path.unlink()
    with pytest.raises(ProviderUnavailableError):
        client.retrieve_results(FINISHED, path)
    assert transport.left == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 1, len(CONTENT) - 1])
def test_a_body_of_unknown_length_that_ends_in_a_line_is_not_kept(
    connect: Connect, tmp_path: Path, cut: int
) -> None:
    client, _ = connect(answer({}), *[body(CONTENT[:cut]) for _ in range(4)])
    with pytest.raises(ProviderUnavailableError):
        client.retrieve_results(FINISHED, tmp_path / "results")
    assert list(tmp_path.iterdir()) == []


def test_the_last_line_needs_no_end_where_the_length_is_known(
    connect: Connect, tmp_path: Path
) -> None:
    content = CONTENT.rstrip()
    client, _ = connect(answer({}), body(content, length=len(content)))
    client.retrieve_results(FINISHED, tmp_path / "results")
    assert len((tmp_path / "results").read_bytes().splitlines()) == 2


@pytest.mark.parametrize(
    ("size", "response"), [(answer({}), body(b"", length=0)), (sized(0), body(b""))]
)
def test_a_file_that_is_said_to_be_empty_is_taken_as_such(
    connect: Connect, tmp_path: Path, size: httpx2.Response, response: httpx2.Response
) -> None:
    """C20: it is for the caller to doubt it."""
    path = tmp_path / "results"
    client, _ = connect(size, response)
    client.retrieve_results(FINISHED, path)
    assert path.read_bytes() == b""


def test_a_broken_connection_leaves_nothing(connect: Connect, tmp_path: Path) -> None:
    broken = [
        httpx2.Response(200, stream=Chunks(CONTENT, httpx2.ReadError("reset"))) for _ in range(4)
    ]
    client, _ = connect(sized(), *broken)
    with pytest.raises(ProviderUnavailableError):
        client.retrieve_results(FINISHED, tmp_path / "results")
    assert list(tmp_path.iterdir()) == []


def test_whoever_watches_a_download_may_end_it(connect: Connect, tmp_path: Path) -> None:
    """A4: its job may have been taken over meanwhile."""
    client, transport = connect(sized(), body())

    def give_up() -> None:
        raise TransitionError

    with pytest.raises(TransitionError):
        client.retrieve_results(FINISHED, tmp_path / "results", keep=give_up)
    assert transport.left == 0
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(connect: Connect, tmp_path: Path) -> None:
    client, _ = connect(sized(), httpx2.Response(200, stream=Chunks(CONTENT, KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        client.retrieve_results(FINISHED, tmp_path / "results")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [403, 404])
def test_results_that_are_gone_are_not_found(connect: Connect, tmp_path: Path, code: int) -> None:
    """C9."""
    gone = [refusal(code, "PERMISSION_DENIED", "or it may not exist") for _ in range(2)]
    client, _ = connect(*gone)
    with pytest.raises(RemoteNotFoundError):
        client.retrieve_results(FINISHED, tmp_path / "results")
    assert list(tmp_path.iterdir()) == []


def test_a_refused_key_says_nothing_of_the_results(connect: Connect, tmp_path: Path) -> None:
    client, _ = connect(refusal(403, "PERMISSION_DENIED", "Your API key was reported as leaked."))
    with pytest.raises(AuthError):
        client.retrieve_results(FINISHED, tmp_path / "results")


@pytest.mark.parametrize(
    "page",
    [
        body(b"<!doctype html><p>Please log in</p>\n", kind="text/html; charset=utf-8"),
        body(b"Please log in\n", kind="text/html"),
        body(b"\n <html>\n", kind="application/octet-stream"),
        body(b'{"error": {"code": 403, "message": "no"}}\n', kind="application/json"),
        body(b'{\n  "error": {\n    "code": 403\n  }\n}\n', kind="application/json; charset=UTF-8"),
    ],
)
def test_an_error_page_is_no_result_file(
    connect: Connect, tmp_path: Path, page: httpx2.Response
) -> None:
    """C23."""
    client, _ = connect(answer({}), page)
    with pytest.raises(ProviderProtocolError):
        client.retrieve_results(FINISHED, tmp_path / "results")
    assert list(tmp_path.iterdir()) == []


def test_a_result_of_one_failed_line_is_a_result_file(connect: Connect, tmp_path: Path) -> None:
    content = b'{"error":{"code":3},"key":"a"}\n'
    client, _ = connect(answer({}), body(content, kind="application/json"))
    client.retrieve_results(FINISHED, tmp_path / "results")
    assert len((tmp_path / "results").read_bytes().splitlines()) == 1


def test_a_bad_first_line_does_not_spoil_a_result_file(connect: Connect, tmp_path: Path) -> None:
    """C11: it costs its own text only."""
    content = b'zz"key":"a"}\n{"key":"b"}\n'
    client, _ = connect(answer({}), body(content))
    client.retrieve_results(FINISHED, tmp_path / "results")
    assert len((tmp_path / "results").read_bytes().splitlines()) == 2


def test_a_body_larger_than_the_file_is_cut_off(connect: Connect, tmp_path: Path) -> None:
    client, _ = connect(sized(5), body())
    with pytest.raises(ProviderProtocolError, match="more than 5 bytes"):
        client.retrieve_results(FINISHED, tmp_path / "results")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [0, 1, len(CONTENT) - 1])
def test_a_full_disk_leaves_nothing_and_removes_nothing_remote(
    connect: Connect, tmp_path: Path, limit: int
) -> None:
    """C22."""
    client, transport = connect(sized(), body())
    with no_file_larger_than(limit), pytest.raises(StorageFullError, match="results"):
        client.retrieve_results(FINISHED, tmp_path / "results")
    assert list(tmp_path.iterdir()) == []
    assert {sent.method for sent in transport.sent} == {"GET"}


def test_a_missing_folder_is_named(connect: Connect, tmp_path: Path) -> None:
    client, _ = connect(sized(), body())
    with pytest.raises(StorageError, match="absent"):
        client.retrieve_results(FINISHED, tmp_path / "absent" / "results")


def test_a_job_without_results_has_none_to_retrieve(connect: Connect, tmp_path: Path) -> None:
    client, transport = connect()
    job = RemoteJob(name=JOB, state=RemoteState.RUNNING, raw_state="RUNNING")
    with pytest.raises(ProviderProtocolError, match="no result file"):
        client.retrieve_results(job, tmp_path / "results")
    assert transport.sent == []


# --- clean up --------------------------------------------------------------------------

TOO_LONG = "* DeleteFileRequest.name: File ID cannot be more than 40 characters"


def test_a_job_and_its_files_are_removed(connect: Connect) -> None:
    client, transport = connect(answer({}), answer({}), answer({}), answer({}))
    assert client.remove(job=FINISHED, files=["files/in-1", "files/more"])
    assert [(sent.method, sent.path) for sent in transport.sent] == [
        ("DELETE", f"/v1beta/{JOB}"),
        ("DELETE", f"/v1beta/{RESULT}"),
        ("DELETE", "/v1beta/files/in-1"),
        ("DELETE", "/v1beta/files/more"),
    ]


@pytest.mark.parametrize(
    "response",
    [
        answer(b""),
        httpx2.Response(204),
        refusal(404, "NOT_FOUND", "gone"),
        refusal(403, "PERMISSION_DENIED", "You do not have permission, or it may not exist."),
        refusal(400, "INVALID_ARGUMENT", TOO_LONG),
    ],
)
def test_what_is_gone_or_cannot_be_removed_is_clean(
    connect: Connect, response: httpx2.Response
) -> None:
    """D13; and real result files have names that are too long to be deleted."""
    client, _ = connect(response)
    assert client.remove(files=[RESULT])


@pytest.mark.parametrize(
    "fault",
    [
        answer({}, code=503),
        refusal(429, "RESOURCE_EXHAUSTED", "busy"),
        refusal(403, "PERMISSION_DENIED", "Your API key was reported as leaked."),
        refusal(400, "INVALID_ARGUMENT", "something else"),
        httpx2.ReadTimeout("slow"),
    ],
)
def test_a_failure_is_no_error_and_does_not_stop_the_rest(connect: Connect, fault: Answer) -> None:
    """D13: later is early enough."""
    client, transport = connect(fault, answer({}))
    assert not client.remove(files=["files/a", "files/b"])
    assert [sent.path for sent in transport.sent] == ["/v1beta/files/a", "/v1beta/files/b"]


@pytest.mark.parametrize("name", ["files/../x", "files/*", "files/", "*", "", "batches/x"])
def test_nothing_is_removed_if_one_name_is_none(connect: Connect, name: str) -> None:
    client, transport = connect()
    with pytest.raises(InvalidInputError):
        client.remove(job=JOB, files=["files/a", name])
    assert transport.sent == []


def test_nothing_named_is_clean(connect: Connect) -> None:
    client, transport = connect()
    assert client.remove()
    assert transport.sent == []


# --- keys ------------------------------------------------------------------------------


def test_a_client_takes_the_batch_key_and_no_other(clock: ManualClock) -> None:
    transport = ScriptedTransport(answer({}))
    keyring = GoogleKeyring(default_key=canary("default"), batch_key=KEY)
    with GeminiBatchClient.from_keyring(
        keyring, endpoint=Endpoint(base_url=HOST), clock=clock, transport=transport
    ) as client:
        client.jobs()
    assert transport.sent[0].headers["x-goog-api-key"] == KEY
    with pytest.raises(MissingBatchKeyError):
        GeminiBatchClient.from_keyring(GoogleKeyring(default_key=canary("default")))


def test_neither_the_client_nor_its_errors_show_the_key(connect: Connect, tmp_path: Path) -> None:
    client, transport = connect(
        started(),
        uploaded(),
        refusal(403, "PERMISSION_DENIED", f"Consumer 'api_key:{KEY}' blocked"),
    )
    with pytest.raises(AuthError) as caught:
        client.create_embedding_job(REQUESTS, spec=SPEC, display_name="r", spool=tmp_path / "spool")
    assert KEY not in repr(client) + str(caught.value) + repr(caught.value.__cause__)
    for sent in transport.sent:
        assert KEY not in sent.url
        assert KEY.encode() not in sent.body


def test_the_provenance_is_that_of_the_endpoint(connect: Connect) -> None:
    client, _ = connect()
    assert client.provenance == "google"
    elsewhere = GeminiBatchClient(KEY, endpoint=Endpoint(base_url="http://127.0.0.1:1"))
    assert elsewhere.provenance == "endpoint:localhost"


def test_the_lines_of_a_job_are_json(tmp_path: Path, connect: Connect) -> None:
    client, transport = connect(started(), uploaded())
    client.stage(map(request_encoder(SPEC), REQUESTS), name="r", spool=tmp_path / "spool")
    lines = [json.loads(line) for line in transport.sent[1].body.split(b"\n") if line]
    assert [line["key"] for line in lines] == ["k1", "k2"]
