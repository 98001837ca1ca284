from __future__ import annotations

import io
import json

from google import genai
from google.genai import types

from semantic_core.emulator import Emulator


def test_whole_way_with_the_real_client(emulator: Emulator):
    rows = {"doc-1": "hello world", "doc-2": "goodbye"}
    blob = b"".join(
        json.dumps(
            {
                "key": key,
                "request": {
                    "content": {"parts": [{"text": text}]},
                    "taskType": "RETRIEVAL_DOCUMENT",
                    "outputDimensionality": 8,
                },
            }
        ).encode()
        + b"\n"
        for key, text in rows.items()
    )
    options = types.HttpOptions(base_url=emulator.url, api_version="v1beta", timeout=60_000)
    with genai.Client(api_key="test-key", http_options=options) as client:
        file = client.files.upload(
            file=io.BytesIO(blob), config={"mime_type": "application/jsonl", "display_name": "in"}
        )
        job = client.batches.create_embeddings(
            model="gemini-embedding-001",
            src={"file_name": file.name},
            config={"display_name": "run-42"},
        )
        assert not job.done
        job = client.batches.get(name=job.name)
        assert job.state == types.JobState.JOB_STATE_SUCCEEDED
        data = client.files.download(file=job.dest.file_name)
    assert {json.loads(line)["key"] for line in data.splitlines()} == set(rows)
