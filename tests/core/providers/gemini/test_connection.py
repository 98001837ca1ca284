"""What the connection never does: leak the key, follow, repeat, or read without end."""

from __future__ import annotations

import contextlib
import copy
import gzip
import pickle
import socket
import ssl
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
import pytest

from batch_emulator import Emulator
from semantic_core.domain.errors import (
    InvalidKeyError,
    KeyringNotSerializableError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RequestRefusedError,
)
from semantic_core.providers.gemini import GeminiBatchClient
from semantic_core.providers.gemini.connection import Connection, sdk_errors
from semantic_core.providers.gemini.endpoint import Endpoint
from semantic_core.providers.wire.access import Secret
from semantic_core.providers.wire.guarded_http import LARGEST_ANSWER
from support.clock import ManualClock
from support.keys import canary
from support.processes import Python
from support.wire import Answer, Chunks, ScriptedTransport, answer, connect_to

KEY = canary("4711")
GOOGLE = Endpoint(base_url="https://generativelanguage.googleapis.com")


def connect(
    *answers: Answer, clock: ManualClock | None = None
) -> tuple[Connection, ScriptedTransport]:
    transport = ScriptedTransport(*answers)
    connection = connect_to(GOOGLE, Secret(KEY), clock=clock or ManualClock(), transport=transport)
    return connection, transport


def test_the_key_travels_as_a_header_and_nowhere_else() -> None:
    connection, transport = connect(answer({"name": "batches/x"}))
    answered, _ = connection.dated_request("GET", "batches/x", query={"a": "b"})
    assert answered == {"name": "batches/x"}
    (sent,) = transport.sent
    assert sent.url == "https://generativelanguage.googleapis.com/v1beta/batches/x?a=b"
    assert sent.headers["x-goog-api-key"] == KEY
    assert sent.headers["accept-encoding"] == "identity"
    del sent.headers["x-goog-api-key"]
    assert KEY not in str(sent)


def test_an_empty_answer_is_an_empty_object() -> None:
    connection, _ = connect(answer(b""), httpx2.Response(204))
    assert connection.request("DELETE", "batches/x") == {}
    assert connection.request("DELETE", "batches/x") == {}


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"null", b"3", b'{"a":'])
def test_an_answer_that_is_no_object_is_refused(body: bytes) -> None:
    connection, _ = connect(answer(body))
    with pytest.raises(ProviderProtocolError):
        connection.request("GET", "batches/x")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location", ["https://evil.example/", "/v1beta/batches/y", "http://127.0.0.1:1/"]
)
def test_a_redirect_is_not_followed(code: int, location: str) -> None:
    """The SDK would follow it, and take the key along."""
    connection, transport = connect(answer(code=code, location=location))
    with pytest.raises(ProviderProtocolError, match="not followed"):
        connection.request("GET", "batches/x")
    assert len(transport.sent) == 1


def test_the_sdk_does_not_follow_a_redirect_either() -> None:
    connection, transport = connect(answer(code=302, location="https://evil.example/"))
    with pytest.raises(ProviderProtocolError):
        connection.sdk.files.get(name="files/x")
    assert len(transport.sent) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v1beta/files",
        "http://generativelanguage.googleapis.com/v1beta/files",
        "https://generativelanguage.googleapis.com:8443/v1beta/files",
        "https://generativelanguage.googleapis.com.evil.example/v1beta/files",
    ],
)
def test_nothing_is_sent_to_another_origin(url: str) -> None:
    connection, transport = connect()
    with pytest.raises(ProviderProtocolError, match="not the endpoint"):
        connection.http.get(url)
    assert transport.sent == []


def test_the_default_port_is_the_same_origin() -> None:
    connection, transport = connect(answer())
    connection.http.get("https://generativelanguage.googleapis.com:443/v1beta/files")
    assert len(transport.sent) == 1


@pytest.mark.parametrize("code", [200, 404])
def test_a_compressed_answer_is_refused(code: int) -> None:
    """A bomb shows its size only after decoding."""
    bomb = gzip.compress(bytes(1_000_000))
    response = httpx2.Response(code, headers={"Content-Encoding": "gzip"}, stream=Chunks(bomb))
    connection, _ = connect(response)
    with pytest.raises(ProviderProtocolError, match="compressed"):
        connection.request("GET", "batches/x")


@pytest.mark.parametrize("code", [200, 404])
def test_an_endless_answer_is_cut_off(code: int) -> None:
    body = Chunks(*[bytes(1 << 20)] * (LARGEST_ANSWER // (1 << 20) + 2))
    connection, _ = connect(httpx2.Response(code, stream=body))
    with pytest.raises(ProviderProtocolError, match="more than"):
        connection.request("GET", "batches/x")
    assert body.is_closed


def test_a_clock_that_is_set_ends_no_answer(clock: ManualClock) -> None:
    """C25"""

    class Slow(Chunks):
        def __iter__(self) -> Iterator[bytes]:
            yield b"{"
            clock.step(365 * 86_400)
            yield b"}"

    connection, _ = connect(httpx2.Response(200, stream=Slow()), clock=clock)
    assert connection.request("GET", "batches/x") == {}


@pytest.mark.parametrize(
    ("header", "date"),
    [
        ({"Date": "Fri, 15 Jan 2027 08:00:00 GMT"}, 1_800_000_000.0),
        ({"Date": "soon"}, None),
        ({"Date": "Fri, 99 Jan 2027 08:00:00 GMT"}, None),
        ({}, None),
    ],
)
def test_the_providers_clock_is_read_where_there_is_one(
    header: dict[str, str], date: float | None
) -> None:
    connection, _ = connect(httpx2.Response(200, headers=header, content=b"{}"))
    assert connection.dated_request("GET", "batches") == ({}, date)


def test_an_answer_that_trickles_is_given_up(clock: ManualClock) -> None:
    class Trickle(Chunks):
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(100):
                clock.advance(50)
                yield b"x"

    connection, _ = connect(httpx2.Response(200, stream=Trickle()), clock=clock)
    start = clock.now()
    with pytest.raises(ProviderUnavailableError, match="slowly"):
        connection.request("GET", "batches/x")
    assert clock.now() - start < 400


@pytest.mark.parametrize(
    "error", [httpx2.ConnectError("no"), httpx2.ReadTimeout("no"), httpx2.RemoteProtocolError("no")]
)
def test_a_failed_connection_is_one_error_to_us_and_to_the_sdk(error: httpx2.HTTPError) -> None:
    connection, transport = connect(error, error)
    with pytest.raises(ProviderUnavailableError) as ours:
        connection.request("GET", "batches/x")
    with pytest.raises(ProviderUnavailableError):
        connection.sdk.files.get(name="files/x")
    assert type(ours.value.__cause__) is type(error)
    assert len(transport.sent) == 2


def test_a_body_that_breaks_off_is_the_same_error() -> None:
    body = Chunks(b'{"name":', httpx2.ReadError("reset"))
    connection, _ = connect(httpx2.Response(200, stream=body))
    with pytest.raises(ProviderUnavailableError) as caught:
        connection.request("GET", "batches/x")
    assert not caught.value.is_definite
    assert body.is_closed


def test_an_interrupt_passes_through() -> None:
    connection, _ = connect(KeyboardInterrupt(), KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        connection.request("GET", "batches/x")
    with pytest.raises(KeyboardInterrupt), sdk_errors("a call"):
        connection.sdk.files.get(name="files/x")


def test_the_sdk_does_not_try_again_by_itself() -> None:
    connection, transport = connect(answer({}, code=503))
    with pytest.raises(ProviderUnavailableError):
        connection.sdk.files.get(name="files/x")
    assert len(transport.sent) == 1


def test_no_variable_turns_the_sdk_into_another_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v1")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "https://evil.example")
    monkeypatch.setenv("GOOGLE_API_KEY", canary("another"))
    monkeypatch.setenv("GEMINI_API_KEY", canary("third"))
    connection, transport = connect(answer({"name": "files/x"}))
    connection.sdk.files.get(name="files/x")
    (sent,) = transport.sent
    assert sent.url == "https://generativelanguage.googleapis.com/v1beta/files/x"
    assert sent.headers["x-goog-api-key"] == KEY


def test_the_timeout_reaches_every_call() -> None:
    seen = []

    def note(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.extensions["timeout"]["read"])
        return answer({"name": "files/x"})

    connection = connect_to(
        Endpoint(base_url=GOOGLE.url, timeout=7.5),
        Secret(KEY),
        clock=ManualClock(),
        transport=ScriptedTransport(note, note),
    )
    connection.request("GET", "files/x")
    connection.sdk.files.get(name="files/x")
    assert seen == [7.5, 7.5]


def test_nothing_shows_the_key() -> None:
    connection, _ = connect()
    for thing in (connection, connection.sdk, connection.http):
        assert KEY not in repr(thing)


@pytest.mark.parametrize("copier", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_connection_cannot_be_copied_or_pickled(copier: Callable[[object], object]) -> None:
    """E21: it holds the key as it is"""
    connection, _ = connect()
    with pytest.raises(KeyringNotSerializableError, match="holds a key"):
        copier(connection)
    client = GeminiBatchClient(KEY, endpoint=GOOGLE)
    if copier is not copy.copy:
        with pytest.raises(TypeError):
            copier(client)
    client.close()


def test_the_server_s_certificate_is_checked_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PYTHONHTTPSVERIFY", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_TLS_REJECT"):
        monkeypatch.setenv(name, "0")
    connection = connect_to(GOOGLE, Secret(KEY), clock=ManualClock())
    context = connection.http._transport._pool._ssl_context  # type: ignore[attr-defined]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    connection.close()


def test_closing_twice_does_nothing() -> None:
    connection, _ = connect()
    assert connection.sdk is connection.sdk
    connection.close()
    connection.close()


@pytest.mark.parametrize("key", ["", "line\n", "two words"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        GeminiBatchClient(key, endpoint=GOOGLE)
    assert not key or key not in str(caught.value)


FORK = """
import os, sys
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient

def local_port():
    response = connection.http.get(url + "/v1beta/batches", headers={"x-goog-api-key": "a-key"})
    return response.extensions["network_stream"].get_extra_info("client_addr")[1]

url = sys.argv[1]
connection = GeminiBatchClient("a-key", endpoint=Endpoint(base_url=url))._connection
sdk = connection.sdk
before = local_port()
child = os.fork()
if child == 0:
    os._exit(0 if local_port() != before and connection.sdk is not sdk else 1)
assert os.waitpid(child, 0)[1] == 0
assert local_port() == before
assert connection.sdk is sdk
"""


def test_a_forked_process_gets_a_connection_of_its_own(emulator: Emulator) -> None:
    """E10: on a shared socket each could read the answer meant for the other."""
    subprocess.run([sys.executable, "-c", FORK, emulator.url], check=True, timeout=300)


def test_debug_logs_do_not_show_the_key(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the layers below write, at any level."""
    caplog.set_level(0)
    connection = connect_to(Endpoint(base_url=emulator.url), Secret(KEY), clock=ManualClock())
    connection.request("GET", "batches")
    list(connection.sdk.batches.list())
    connection.close()
    assert "batches" in caplog.text
    assert KEY not in caplog.text


@contextmanager
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """Take connections on a local port, note what each says first, and hang up."""
    heard: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            with peer:
                heard.append(peer.recv(65_536))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1], heard
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def test_a_proxy_of_the_environment_is_used_and_never_sees_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listener() as (port, heard):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        connection = connect_to(
            Endpoint(base_url="https://gemini.example"), Secret(KEY), clock=ManualClock()
        )
        with pytest.raises(ProviderUnavailableError):
            connection.request("GET", "batches")
        connection.close()
    assert heard
    assert heard[0].startswith(b"CONNECT gemini.example:443 ")
    assert KEY.encode() not in b"".join(heard)


def test_no_proxy_stands_between_us_and_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with listener() as (proxy, seen_by_proxy), listener() as (port, heard):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        connection = connect_to(
            Endpoint(base_url=f"http://127.0.0.1:{port}"), Secret(KEY), clock=ManualClock()
        )
        with pytest.raises(ProviderUnavailableError) as caught:
            connection.request("GET", "batches")
        connection.close()
    assert not caught.value.is_definite
    assert heard[0].startswith(b"GET /v1beta/batches ")
    assert seen_by_proxy == []


def test_a_refused_connection_is_definite() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    connection = connect_to(
        Endpoint(base_url=f"http://127.0.0.1:{port}"), Secret(KEY), clock=ManualClock()
    )
    with pytest.raises(ProviderUnavailableError) as caught:
        connection.request("GET", "batches")
    connection.close()
    assert caught.value.is_definite


@pytest.mark.parametrize("module", ["google.genai.files", "google.genai.batches"])
def test_an_interrupt_of_the_first_import_breaks_no_later_call(module: str, python: Python) -> None:
    """What half an import leaves behind can be imported whole by nobody."""
    child = python("""
        import signal
        import sys
        import threading
        from semantic_core.providers.gemini import Endpoint, GeminiBatchClient

        # What a shell runs in its background ignores interrupts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        module = hear()

        class Strike:
            def find_spec(self, name, path=None, target=None):
                if name == module:
                    sys.meta_path.remove(self)
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        sys.meta_path.insert(0, Strike())

        def connect():
            endpoint = Endpoint(base_url="http://127.0.0.1:9")
            return GeminiBatchClient("a" * 30, endpoint=endpoint)._connection.sdk

        try:
            connect()
            say("it was not interrupted")
        except KeyboardInterrupt:
            sdk = connect()
            from google import genai
            say(f"{genai.errors.__name__} {type(sdk.files).__name__} {type(sdk.batches).__name__}")
    """)
    assert child.ask(module) == "google.genai.errors Files Batches"
    child.end()


HUGE = 60 << 20


@pytest.mark.parametrize("code", [200, 400])
@pytest.mark.parametrize(
    "piece", [b"[],", b'{"a":{}},', b"0,", b'"ab",', b"x", b" ", b'[{"a":', b'"\\u0041",']
)
def test_no_answer_fills_the_memory(piece: bytes, code: int) -> None:
    """Parsed, 60 MB of lists would be 1.7 GB: both as much of it as is read, and all of it."""
    for size in (HUGE, 15 << 20):
        body = Chunks(b'{"a":[', *[piece * ((1 << 20) // len(piece))] * (size >> 20), b"0]}")
        connection, _ = connect(httpx2.Response(code, stream=body))
        tracemalloc.start()
        with contextlib.suppress(ProviderProtocolError, RequestRefusedError):
            connection.request("GET", "batches")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert body.is_closed
        assert peak < 256 << 20, f"{peak:,} bytes for {size:,}"


def test_the_largest_honest_answers_are_read() -> None:
    vector = "[" + ",".join(["-0.0123456789012345"] * 3072) + "]"
    vectors = ",".join([f'{{"values":{vector}}}'] * 100)
    job = {"name": "batches/x", "metadata": {"a": {"b": {"c": [1, 2, 3]}}}, "response": {"d": {}}}
    for body in (f'{{"embeddings":[{vectors}]}}'.encode(), {"operations": [job] * 100}):
        connection, _ = connect(answer(body))
        assert connection.request("GET", "batches")
