"""A bare HTTP client of the API, for tests of what an SDK would never send."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import httpx2
import orjson

from support.keys import canary

MODEL = "gemini-embedding-001"
KEY = canary("raw-api")


def line(key: str | None, text: str, **request: Any) -> dict[str, Any]:
    """Return an input line; eight dimensions keep tests small."""
    content = {"content": {"parts": [{"text": text}]}, "outputDimensionality": 8}
    return ({} if key is None else {"key": key}) | {"request": content | request}


def jsonl(lines: Iterable[Any]) -> bytes:
    return b"".join(orjson.dumps(one) + b"\n" for one in lines)


class RawApi:
    """Speaks to the emulator without any library that knows Gemini."""

    def __init__(self, url: str, key: str | None = KEY) -> None:
        headers = {} if key is None else {"x-goog-api-key": key}
        self.http = httpx2.Client(base_url=url, headers=headers, timeout=60.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.http.close()

    def start_upload(self, size: int, **file: Any) -> httpx2.Response:
        return self.http.post(
            "/upload/v1beta/files",
            headers={
                "X-Goog-Upload-Protocol": "resumable",
                "X-Goog-Upload-Command": "start",
                "X-Goog-Upload-Header-Content-Length": str(size),
                "X-Goog-Upload-Header-Content-Type": "application/jsonl",
            },
            json={"file": file},
        )

    def send_chunk(
        self, url: str, data: bytes, *, offset: int = 0, command: str = "upload, finalize"
    ) -> httpx2.Response:
        headers = {"X-Goog-Upload-Command": command, "X-Goog-Upload-Offset": str(offset)}
        # Without the key: the session's id is enough.
        return httpx2.post(url, headers=headers, content=data)

    def upload(self, data: bytes, **file: Any) -> str:
        started = self.start_upload(len(data), **file)
        assert started.status_code == 200, started.text
        finished = self.send_chunk(started.headers["x-goog-upload-url"], data)
        assert finished.status_code == 200, finished.text
        name: str = finished.json()["file"]["name"]
        return name

    def post_create(self, file_name: str, *, model: str = MODEL, **batch: Any) -> httpx2.Response:
        body = {"batch": {"inputConfig": {"file_name": file_name}, **batch}}
        return self.http.post(f"/v1beta/models/{model}:asyncBatchEmbedContent", json=body)

    def create(self, lines: Iterable[Any], *, display_name: str = "run", **options: Any) -> str:
        """Upload lines and create a job of them; return its name."""
        created = self.post_create(self.upload(jsonl(lines)), displayName=display_name, **options)
        assert created.status_code == 200, created.text
        name: str = created.json()["name"]
        return name

    def get(self, path: str, **query: Any) -> Any:
        response = self.http.get(f"/v1beta/{path}", params=query)
        assert response.status_code == 200, response.text
        return response.json()

    def state(self, job: str) -> str:
        state: str = self.get(job)["metadata"]["state"]
        return state

    def download(self, file_name: str) -> httpx2.Response:
        return self.http.get(f"/v1beta/{file_name}:download", params={"alt": "media"})

    def results(self, job: str) -> bytes:
        """Return the result file of a job that has one."""
        downloaded = self.download(self.get(job)["metadata"]["output"]["responsesFile"])
        assert downloaded.status_code == 200, downloaded.text
        return downloaded.content

    def lines(self, job: str) -> list[dict[str, Any]]:
        return [orjson.loads(one) for one in self.results(job).split(b"\n") if one]

    def post_embed(self, *texts: str, model: str = MODEL, **request: Any) -> httpx2.Response:
        requests = [
            {"model": f"models/{model}", "content": {"parts": [{"text": text}]}, **request}
            for text in texts
        ]
        body = {"requests": requests}
        return self.http.post(f"/v1beta/models/{model}:batchEmbedContents", json=body)
