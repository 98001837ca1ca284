"""What cassettes are recorded from, and what never gets into one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcr.request import Request

from batch_emulator import Emulator, EmulatorConfig
from semantic_core.domain.clock import Clock, SystemClock
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient, GeminiEmbedder
from semantic_core.providers.gemini.keyring import GoogleKeyring
from support.clock import ManualClock
from support.keys import canary

FOLDER = Path(__file__).parents[2] / "cassettes"

# A host that cannot exist: a replayed test could not reach anybody.
NEUTRAL = "https://gemini.invalid"

REPLAYED = GoogleKeyring(default_key=canary("replayed-default"), batch_key=canary("replayed-batch"))

# The emulator refuses any other key, as Google would.
EMULATED = GoogleKeyring(default_key=canary("emulated-default"), batch_key=canary("emulated-batch"))

_REQUEST_HEADERS = {"content-type", "content-length"}
_RESPONSE_HEADERS = {"content-type", "content-length", "retry-after"}


@dataclass(frozen=True)
class Provider:
    """Who answers: a cassette, the emulator, or Google.

    Attributes:
        endpoint: where.
        keyring: keys it accepts.
        clock: really waits where somebody really works.
    """

    endpoint: Endpoint
    keyring: GoogleKeyring
    clock: Clock

    def client(self, *, keyring: GoogleKeyring | None = None) -> GeminiBatchClient:
        return GeminiBatchClient.from_keyring(
            keyring or self.keyring, endpoint=self.endpoint, clock=self.clock
        )

    def embedder(self) -> GeminiEmbedder:
        return GeminiEmbedder(self.keyring, endpoint=self.endpoint, clock=self.clock)


@contextmanager
def recording(keys: GoogleKeyring, folder: Path) -> Iterator[Provider]:
    """Give what is to be recorded: Google if there are both keys, else a new emulator."""
    if keys.live_available and keys.batch_available:
        yield Provider(Endpoint(), keys, SystemClock())
        return
    projects = {EMULATED.get_default_key(): "free", EMULATED.get_batch_key(): "paid"}
    config = EmulatorConfig(projects=projects, refuse_unknown_keys=True)
    with Emulator(folder / "recorded-emulator.db", config=config) as emulator:
        # Its jobs are done by the second look: nothing to wait for.
        yield Provider(Endpoint(base_url=emulator.url), EMULATED, ManualClock())


def cassette_settings(provider: Provider) -> dict[str, Any]:
    """Return the settings of vcrpy: how calls are matched, and what is left out of them.

    Only headers that matter are kept, so no key is; hosts and ports become a neutral one.
    """
    real = provider.endpoint.url

    def clean_request(request: Request) -> Request:
        request.uri = request.uri.replace(real, NEUTRAL)
        request.headers = {
            name: value
            for name, value in request.headers.items()
            if _is_kept(name, _REQUEST_HEADERS)
        }
        return request

    def clean_response(response: dict[str, Any]) -> dict[str, Any]:
        body = response["body"]["string"].replace(real.encode(), NEUTRAL.encode())
        headers = {
            name: [value.replace(real, NEUTRAL) for value in values]
            for name, values in response["headers"].items()
            if _is_kept(name, _RESPONSE_HEADERS)
        }
        if "content-length" in headers:
            headers["content-length"] = [str(len(body))]
        return {**response, "headers": headers, "body": {"string": body}}

    return {
        "match_on": ["method", "path", "query"],
        "before_record_request": clean_request,
        "before_record_response": clean_response,
        "decode_compressed_response": False,
    }


def _is_kept(name: str, names: set[str]) -> bool:
    return name.lower() in names or name.lower().startswith("x-goog-upload-")


def note_source(provider: Provider) -> None:
    """Write down what the cassettes were last recorded from."""
    source = "Google" if provider.endpoint.provenance == "google" else "the emulator"
    (FOLDER / "RECORDED_FROM.json").write_text(json.dumps({"source": source}) + "\n")
