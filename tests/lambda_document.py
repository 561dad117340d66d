"""Requests and answers of Lambda's API, held against the vendor's OpenAPI document by an OpenAPI library."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx2
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse

FILE = Path(__file__).parent / "practice" / "lambda-cloud-openapi.json"
DOCUMENT: dict[str, Any] = json.loads(FILE.read_text())
NEWER = {"/api/v1/regions"}
"""Paths that came after the document's version, 1.8.3 (lambda-cloud-api.md §2)."""


@functools.cache
def document() -> OpenAPI:
    return OpenAPI.from_dict(DOCUMENT)


def _request(request: httpx2.Request) -> MockRequest:
    return MockRequest(
        "https://cloud.lambda.ai",
        request.method.lower(),
        request.url.path,
        args=dict(parse_qsl(request.url.query.decode())),
        headers=dict(request.headers),
        data=request.content or None,
        content_type=request.headers.get("content-type", "application/json"),
    )


def hold_request(request: httpx2.Request) -> None:
    """Fail for a request that the document does not allow, or that names a field which it does not have."""
    if request.url.path in NEWER:
        return
    document().validate_request(_request(request))
    wanted = _operation(request.method, request.url.path).get("requestBody")
    if not wanted:
        assert not request.content, f"{request.url.path}: the document has no body"
        return
    # The document lets unknown fields through; one that it does not name is a mistake of ours all the same.
    name = wanted["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    unknown = set(json.loads(request.content)) - set(DOCUMENT["components"]["schemas"][name]["properties"])
    assert not unknown, f"{request.url.path}: the document has no field {unknown}"


def operation_of(method: str, path: str) -> str:
    """`GET /api/v1/instances/{id}`."""
    paths: dict[str, Any] = DOCUMENT["paths"]
    template = path if path in paths or path in NEWER else f"{path.rpartition('/')[0]}/{{id}}"
    return f"{method.upper()} {template}"


def _operation(method: str, path: str) -> dict[str, Any]:
    method, template = operation_of(method, path).split(" ")
    operation: dict[str, Any] = DOCUMENT["paths"][template][method.lower()]
    return operation


def hold_answer(request: httpx2.Request, answer: httpx2.Response) -> None:
    """Fail for an answer that the document does not promise."""
    if request.url.path in NEWER:
        return
    content_type = answer.headers.get("content-type", "")
    document().validate_response(
        _request(request),
        MockResponse(data=answer.content, status_code=answer.status_code, content_type=content_type),
    )


class Held(httpx2.AsyncBaseTransport):
    """The network, with every request and answer held against the document; `operations` are those that were."""

    def __init__(self) -> None:
        self.operations: set[str] = set()
        self._network = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        hold_request(request)
        answer = await self._network.handle_async_request(request)
        await answer.aread()
        hold_answer(request, answer)
        self.operations.add(operation_of(request.method, request.url.path))
        return answer

    async def aclose(self) -> None:
        await self._network.aclose()
