"""A key is where it is sent from and where it is sent to, and in reach of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from batch_emulator import CutDownload, Drop, EndJob, FailLines, FaultRule, Redirect, Reply
from semantic_core.domain.errors import InvalidKeyError, SemanticCoreError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
from semantic_core.providers.gemini.keyring import GoogleKeyring, check_key
from semantic_core.providers.port import keep_nothing
from semantic_core.providers.wire.access import Secret
from semantic_core.providers.wire.download import download
from support.clock import ManualClock
from support.keys import DEFAULT_KEY, SHOWN_KEY, canary
from support.reach import strings_in_reach
from support.wire import Chunks, ScriptedTransport, answer, connect_to
from support.world import World

KEY = canary("4711")
GOOGLE = Endpoint(base_url="https://generativelanguage.googleapis.com")
SPEC = EmbeddingSpec()


def assert_out_of_reach(error: BaseException, *keys: str) -> None:
    """What fails says where, and shows no key itself."""
    found = list(strings_in_reach(error, but_of=__file__))
    where = [path for text, path in found if any(key in text for key in keys)]
    if where or not found:
        pytest.fail(f"A key is in reach: {where}", pytrace=False)


def broken(request: httpx2.Request) -> httpx2.Response:
    """Break as a transport may: with the request in its variables and in its error."""
    headers = dict(request.headers)
    raise httpx2.ReadError(f"reset: {headers}", request=request)


def illegal(request: httpx2.Request) -> httpx2.Response:
    raise ValueError(dict(request.headers))


def interrupted(request: httpx2.Request) -> httpx2.Response:
    headers = dict(request.headers)
    raise KeyboardInterrupt(len(headers))


def broken_body(request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(
        200, stream=Chunks(b'{"a":', httpx2.ReadError(str(request.headers["x-goog-api-key"])))
    )


def quoting(code: int) -> Callable[[httpx2.Request], httpx2.Response]:
    def reply(request: httpx2.Request) -> httpx2.Response:
        key = request.headers["x-goog-api-key"]
        return answer(
            {"error": {"code": code, "message": f"Consumer 'api_key:{key}' {key}", "status": key}},
            code=code,
            **{"x-note": key},
        )

    return reply


def no_json(request: httpx2.Request) -> httpx2.Response:
    return answer(request.headers["x-goog-api-key"].encode() + b"{")


def elsewhere(request: httpx2.Request) -> httpx2.Response:
    return answer(code=302, location=f"https://evil.example/?{request.headers['x-goog-api-key']}")


WAYS = [broken, illegal, interrupted, broken_body, no_json, elsewhere, *map(quoting, (400, 403))]


@pytest.mark.parametrize("way", WAYS)
def test_no_error_of_a_connection_leads_to_the_key(way: Callable[..., httpx2.Response]) -> None:
    connection = connect_to(
        GOOGLE, Secret(KEY), clock=ManualClock(), transport=ScriptedTransport(*[way] * 3)
    )
    calls: list[Callable[[], object]] = [
        lambda: connection.request("GET", "batches"),
        lambda: connection.sdk.files.get(name="files/x"),
        lambda: list(connection.http.get(f"{GOOGLE.url}/v1beta/files").iter_bytes()),
    ]
    for call in calls:
        try:
            call()
        except BaseException as error:  # noqa: BLE001  # an interrupt is one of the ways
            assert_out_of_reach(error, KEY)


def test_no_error_of_a_download_leads_to_the_key(tmp_path: Path) -> None:
    connection = connect_to(
        GOOGLE, Secret(KEY), clock=ManualClock(), transport=ScriptedTransport(broken_body)
    )
    with pytest.raises(SemanticCoreError) as caught:
        download(
            connection.http,
            connection.url_of("files/x:download"),
            tmp_path / "results",
            what="files/x",
            size=100,
            keep=keep_nothing,
        )
    assert_out_of_reach(caught.value, KEY)


FAULTS = [
    Drop(),
    Reply(code=403, message=f"Consumer 'api_key:{SHOWN_KEY}' has been suspended."),
    Reply(code=400, message=f"{SHOWN_KEY}", as_text=True),
    Redirect(location="https://evil.example"),
    CutDownload(at=10),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_no_error_of_the_whole_way_leads_to_a_key(world: World, fault: Drop) -> None:
    world.save("one")
    manager, embedder = world.manager(batch_key=SHOWN_KEY), world.embedder()
    manager.flush_queue()
    world.store.save([])
    world.emulator.add_fault(FaultRule(effect=fault, times=None))
    world.save("one", "two")
    calls: list[tuple[Callable[[], object], str]] = [
        (manager.flush_queue, SHOWN_KEY),
        (manager.sync_status, SHOWN_KEY),
        (lambda: embedder.embed_query("q", spec=SPEC), DEFAULT_KEY),
        (lambda: embedder.embed_documents(["q"], spec=SPEC), DEFAULT_KEY),
    ]
    for call, key in calls:
        try:
            call()
        except SemanticCoreError as error:
            assert_out_of_reach(error, key)


def test_a_refused_key_is_not_in_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = f"{KEY} \n"
    monkeypatch.setenv("GEMINI_API_KEY", DEFAULT_KEY)
    for make in (
        lambda: GoogleKeyring(default_key=bad),
        lambda: GoogleKeyring(default_key=KEY, batch_key=bad),
        lambda: GoogleKeyring.from_env({"GEMINI_API_KEY": bad, "GEMINI_BATCH_API_KEY": KEY}),
        lambda: GoogleKeyring.from_env({"GEMINI_BATCH_API_KEY": bad, "GOOGLE_API_KEY": KEY}),
        lambda: check_key(bad, what="The API key"),
        lambda: GeminiBatchClient(bad, endpoint=GOOGLE),
    ):
        with pytest.raises(InvalidKeyError) as caught:
            make()
        assert_out_of_reach(caught.value, KEY)


# --- answers that quote it --------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    "body", [KEY, f'{{"a": "{KEY}", "b": "x{KEY}{KEY}"}}', KEY[:-1], KEY[:5] + KEY, "", KEY[:9] * 3]
)
def test_a_quoted_key_is_hidden_however_the_answer_is_cut(body: str, size: int) -> None:
    pieces = [body[start : start + size].encode() for start in range(0, len(body), size)]
    response = httpx2.Response(200, stream=Chunks(*pieces))
    connection = connect_to(
        GOOGLE, Secret(KEY), clock=ManualClock(), transport=ScriptedTransport(response)
    )
    got = connection.http.get(f"{GOOGLE.url}/v1beta/files").content.decode()
    assert got == body.replace(KEY, "*" * len(KEY))


def test_a_key_quoted_in_a_success_is_neither_stored_nor_shown(world: World) -> None:
    """In a job's name and error, a line's error and key, and a vector's answer."""
    world.save("one", "two")
    manager = world.manager(batch_key=SHOWN_KEY)
    world.emulator.add_fault(
        FaultRule(effect=FailLines(code=400, message=f"The key {SHOWN_KEY} may not do that."))
    )
    manager.flush_queue()
    manager.sync_status()
    message = world.chunk().error_message or ""
    assert "may not do that" in message
    assert SHOWN_KEY not in message

    world.save("three")
    world.emulator.add_fault(
        FaultRule(effect=EndJob(state="BATCH_STATE_FAILED", message=f"for {SHOWN_KEY}"))
    )
    manager.flush_queue()
    manager.sync_status()
    assert SHOWN_KEY not in repr(manager.jobs())
    assert "for ***" in repr(manager.jobs())
    with world.store.database.snapshot() as connection:
        assert SHOWN_KEY not in "\n".join(connection.raw.iterdump())
