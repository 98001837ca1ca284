from __future__ import annotations

from typing import Any

import httpx2
import pytest

from batch_emulator import Emulator, ViolationKind
from support.raw_api import MODEL, RawApi, jsonl, line

SECOND = "gemini-embedding-2"


def message_of(response: httpx2.Response, code: int = 400) -> str:
    assert response.status_code == code, response.text
    error = response.json()["error"]
    assert error["code"] == code
    message: str = error["message"]
    return message


# --- keys, paths, models ---------------------------------------------------------------------


def test_a_call_without_a_key_is_refused(emulator: Emulator) -> None:
    with RawApi(emulator.url, key=None) as api:
        refused = api.http.get("/v1beta/files")
    assert "unregistered callers" in message_of(refused, 403)
    assert emulator.requests[0].project is None


def test_an_invalid_key_is_a_400(emulator: Emulator) -> None:
    with RawApi(emulator.url, key="two words") as api:
        refused = api.http.get("/v1beta/files")
    assert message_of(refused) == "API key not valid. Please pass a valid API key."
    assert refused.json()["error"]["details"][0]["reason"] == "API_KEY_INVALID"


def test_a_key_in_the_url_works_and_is_a_violation(emulator: Emulator) -> None:
    with RawApi(emulator.url, key=None) as api:
        assert api.http.get("/v1beta/files", params={"key": "k"}).status_code == 200
    assert [one.kind for one in emulator.violations] == [ViolationKind.KEY_IN_URL]


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
def test_every_version_is_served(api: RawApi, version: str) -> None:
    assert api.http.get(f"/{version}/batches").json() == {}


@pytest.mark.parametrize("path", ["/", "/v2/files", "/v1beta/models", "/v1beta/files/a/b"])
def test_an_unknown_path_is_not_found(api: RawApi, path: str) -> None:
    message_of(api.http.get(path), 404)


def test_an_unknown_job_is_not_found(api: RawApi) -> None:
    message_of(api.http.get("/v1beta/batches/none"), 404)
    message_of(api.http.post("/v1beta/batches/none:cancel"), 404)


def test_an_unknown_model_is_not_found(api: RawApi) -> None:
    file = api.upload(jsonl([line("a", "alpha")]))
    message = message_of(api.post_create(file, model="embedding-000"), 404)
    assert message.startswith("models/embedding-000 is not found for API version v1beta")
    message_of(api.post_embed("x", model="embedding-000"), 404)


# --- create ----------------------------------------------------------------------------------


def post_batch(api: RawApi, body: Any) -> httpx2.Response:
    return api.http.post(f"/v1beta/models/{MODEL}:asyncBatchEmbedContent", json=body)


def test_both_spellings_of_a_field_are_understood(api: RawApi) -> None:
    file = api.upload(jsonl([line("a", "alpha")]))
    for body in (
        {"batch": {"inputConfig": {"fileName": file}, "displayName": "run"}},
        {"batch": {"input_config": {"file_name": file}, "display_name": "run"}},
    ):
        created = post_batch(api, body)
        assert created.json()["metadata"]["displayName"] == "run"


def test_a_field_in_both_spellings_is_refused(api: RawApi) -> None:
    body = {"batch": {"inputConfig": {"fileName": "files/a", "file_name": "files/a"}}}
    assert "more than once" in message_of(post_batch(api, body))


def test_an_unknown_field_is_named(api: RawApi) -> None:
    refused = post_batch(api, {"batch": {"inputConfig": {"fileNames": []}}})
    assert message_of(refused) == (
        "Invalid JSON payload received. Unknown name \"fileNames\" at 'batch.input_config': "
        "Cannot find field."
    )
    assert refused.json()["error"]["details"][0]["fieldViolations"]


@pytest.mark.parametrize(
    "body", [{}, {"batch": {}}, {"batch": {"inputConfig": {"requests": {}}}}, [], "x"]
)
def test_a_create_without_a_file_is_refused(api: RawApi, body: Any) -> None:
    message_of(post_batch(api, body))


def test_a_create_with_a_file_that_is_not_there_is_refused(api: RawApi) -> None:
    message_of(api.post_create("files/none"), 403)


def test_a_body_that_is_no_json_is_refused(api: RawApi) -> None:
    path = f"/v1beta/models/{MODEL}:asyncBatchEmbedContent"
    message_of(api.http.post(path, content=b"{"))


# --- input lines -----------------------------------------------------------------------------


def test_an_unknown_field_in_a_line_refuses_the_whole_file(api: RawApi) -> None:
    good, bad = line("a", "alpha"), line("b", "beta", thinkingConfig={})
    message = message_of(api.post_create(api.upload(jsonl([good, bad]))))
    assert message.startswith("Error on line 2: invalid JSON, near column ")
    assert message.endswith("no such field: 'thinkingConfig'")
    assert api.get("batches") == {}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"not json\n",
        b'{"key": "a"}\n',
        b'["a"]\n',
        b'{"key": 1, "request": {}}\n',
        b'{"key": "a", "request": []}\n',
        b'{"key": "a", "request": {"content": {"parts": [{"txt": "x"}]}}}\n',
        b'{"key": "a", "request": {"content": {"parts": "x"}}}\n',
        b'{"key": "a", "request": {"content": {"parts": [{"text": 5}]}}}\n',
        b'{"key": "a", "request": {"taskType": "RETRIEVE"}}\n',
        b'{"key": "a", "request": {"outputDimensionality": "many"}}\n',
        b'{"key": "a", "request": {"outputDimensionality": 8, "output_dimensionality": 8}}\n',
        b'{"key": "a", "request": {"title": "t", "embedContentConfig": {"title": "t"}}}\n',
        b'{"key": "a", "request": {"embedContentConfig": {"autoTruncate": 1}}}\n',
    ],
)
def test_a_file_that_holds_no_requests_is_refused(api: RawApi, data: bytes) -> None:
    message_of(api.post_create(api.upload(data)))


def results(api: RawApi, *lines: Any, **options: Any) -> dict[str | None, Any]:
    return {one.get("key"): one for one in api.lines(api.create(lines, **options))}


def test_snake_case_and_the_nested_config_mean_the_same(api: RawApi) -> None:
    content = {"content": {"parts": [{"text": "alpha"}]}}
    task = "RETRIEVAL_DOCUMENT"
    found = results(
        api,
        {"key": "camel", "request": content | {"taskType": task, "outputDimensionality": 8}},
        {"key": "snake", "request": content | {"task_type": task, "output_dimensionality": "8"}},
        {
            "key": "nested",
            "request": content
            | {"embedContentConfig": {"taskType": task, "outputDimensionality": 8}},
        },
    )
    vectors = [one["response"]["embedding"]["values"] for one in found.values()]
    assert len(vectors) == 3
    assert vectors[0] == vectors[1] == vectors[2]


@pytest.mark.parametrize(
    ("request_line", "words"),
    [
        (line("a", ""), "no text"),
        (line("a", " \n\t"), "no text"),
        (line("a", "x", outputDimensionality=3073), "between 1 and 3072"),
        (line("a", "x", outputDimensionality=-1), "between 1 and 3072"),
        (line("a", "x", title="t", taskType="RETRIEVAL_QUERY"), "title"),
        (line("a", "x", model="models/another"), "models/another"),
        (line("a", "word " * 2049), "exceeds the maximum"),
        (line("a", "x", content={"parts": []}), "at least one part"),
    ],
)
def test_a_line_the_model_objects_to_fails_alone(
    emulator: Emulator, api: RawApi, request_line: Any, words: str
) -> None:
    found = results(api, request_line, line("good", "fine", model=f"models/{MODEL}"))
    assert words in found["a"]["error"]["message"]
    assert "response" in found["good"]
    assert emulator.ledger.billed().total() == 1


def test_several_parts_are_one_vector(api: RawApi) -> None:
    found = results(api, line("a", "", content={"parts": [{"text": "x"}, {"text": "y"}]}))
    assert len(found["a"]["response"]["embedding"]["values"]) == 8


def test_the_second_model_takes_no_task_type(api: RawApi) -> None:
    found = results(api, line("a", "x", taskType="RETRIEVAL_QUERY"), line("b", "x"), model=SECOND)
    assert "task_type is not supported" in found["a"]["error"]["message"]
    values = found["b"]["response"]["embedding"]["values"]
    assert sum(value * value for value in values) == pytest.approx(1)


def test_without_a_size_the_biggest_is_given(api: RawApi) -> None:
    found = results(api, {"key": "a", "request": {"content": {"parts": [{"text": "x"}]}}})
    assert len(found["a"]["response"]["embedding"]["values"]) == 3072


def test_missing_and_repeated_keys_are_embedded_and_are_violations(
    emulator: Emulator, api: RawApi
) -> None:
    """Google takes a key for the caller's own business; a careful caller minds it."""
    lines = [line(None, "alpha"), line("a", "beta"), line("a", "gamma")]
    found = api.lines(api.create(lines))
    assert sorted(one.get("key", "") for one in found) == ["", "a", "a"]
    kinds = {one.kind for one in emulator.violations}
    assert kinds == {ViolationKind.MISSING_KEY, ViolationKind.DUPLICATE_KEY}


def test_other_top_level_fields_come_back(api: RawApi) -> None:
    found = api.lines(api.create([line("a", "alpha") | {"custom": [1]}]))
    assert found[0]["custom"] == [1]


# --- live ------------------------------------------------------------------------------------


def test_more_than_a_hundred_live_requests_are_refused(emulator: Emulator, api: RawApi) -> None:
    assert api.post_embed(*["x"] * 100, outputDimensionality=8).status_code == 200
    assert message_of(api.post_embed(*["x"] * 101)) == (
        "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch\n"
    )
    assert emulator.ledger.billed().total() == 100


@pytest.mark.parametrize(
    "request_", [{"content": {}}, {"content": {"parts": [{"text": ""}]}}, {"nonsense": 1}]
)
def test_a_bad_live_request_refuses_the_call(
    emulator: Emulator, api: RawApi, request_: Any
) -> None:
    requests = [
        {"model": f"models/{MODEL}", "content": {"parts": [{"text": "x"}]}},
        {"model": f"models/{MODEL}", **request_},
    ]
    path = f"/v1beta/models/{MODEL}:batchEmbedContents"
    message_of(api.http.post(path, json={"requests": requests}))
    assert emulator.ledger.billed().total() == 0


def test_a_live_request_must_name_its_model(api: RawApi) -> None:
    body = {"requests": [{"content": {"parts": [{"text": "x"}]}}]}
    path = f"/v1beta/models/{MODEL}:batchEmbedContents"
    assert "model is required" in message_of(api.http.post(path, json=body))


# --- upload ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Goog-Upload-Protocol": "multipart", "X-Goog-Upload-Command": "start"},
        {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "upload"},
    ],
)
def test_an_upload_must_begin_properly(api: RawApi, headers: dict[str, str]) -> None:
    message_of(api.http.post("/upload/v1beta/files", headers=headers, json={}))


def test_an_unknown_field_of_a_file_is_refused(api: RawApi) -> None:
    assert "Unknown name" in message_of(api.start_upload(1, colour="red"))
