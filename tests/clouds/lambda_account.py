"""A scripted Lambda account: answers shaped by the vendor's OpenAPI document, requests checked against it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2

from llama_tui.clouds.lambda_api import Retry
from tests.lambda_document import hold_request

QUICK = Retry(first=0.001, longest=0.002, retry_after_longest=0.05)
CANARY = "jupyter-canary-91e5c2"
REGION = {"name": "us-east-1", "description": "Virginia, USA"}
WEST = {"name": "us-west-1", "description": "California, USA"}
A10 = {
    "name": "gpu_1x_a10",
    "description": "1x A10 (24 GB PCIe)",
    "gpu_description": "A10 (24 GB PCIe)",
    "price_cents_per_hour": 129,
    "specs": {"vcpus": 30, "memory_gib": 200, "storage_gib": 1400, "gpus": 1},
}
H100 = {
    "name": "gpu_8x_h100_sxm5",
    "description": "8x H100 (80 GB SXM5)",
    "gpu_description": "H100 (80 GB SXM5)",
    "price_cents_per_hour": 3192,
    "specs": {"vcpus": 208, "memory_gib": 1800, "storage_gib": 22528, "gpus": 8},
}
GH200 = {
    "name": "gpu_1x_gh200",
    "description": "1x GH200 (96 GB)",
    "gpu_description": "GH200 (96 GB)",
    "price_cents_per_hour": 229,
    "specs": {"vcpus": 64, "memory_gib": 432, "storage_gib": 4096, "gpus": 1},
    "architecture": "arm64",
}
CPU = {
    "name": "cpu_4x_general",
    "description": "4x CPU General (16 GB)",
    "gpu_description": "N/A",
    "price_cents_per_hour": 20,
    "specs": {"vcpus": 4, "memory_gib": 16, "storage_gib": 100, "gpus": 0},
}
ABLE = {"available": True}
INSTANCE = {
    "id": "0920582c7ff041399e34823a0be62549",
    "name": "llama-tui-demo-1",
    "status": "active",
    "ip": "198.51.100.2",
    "ssh_key_names": ["mine"],
    "file_system_names": [],
    "region": REGION,
    "instance_type": A10,
    "hostname": "198-51-100-2",
    "jupyter_token": CANARY,
    "jupyter_url": f"https://jupyter.lambdaspaces.com/?token={CANARY}",
    "actions": dict.fromkeys(("migrate", "rebuild", "restart", "cold_reboot", "terminate"), ABLE),
}


def data(payload: Any, status: int = 200) -> httpx2.Response:
    return httpx2.Response(status, json={"data": payload})


def refusal(status: int, code: str, message: str = "The vendor's words.", **more: Any) -> httpx2.Response:
    return httpx2.Response(status, json={"error": {"code": code, "message": message, **more}})


def offers(*pairs: tuple[dict[str, Any], list[dict[str, str]]]) -> dict[str, Any]:
    return {
        kind["name"]: {"instance_type": kind, "regions_with_capacity_available": regions} for kind, regions in pairs
    }


Answer = httpx2.Response | Exception | Callable[[httpx2.Request], httpx2.Response]


class Account:
    """Answers requests from a script; the last answer to a path stays. Every request is checked and kept."""

    def __init__(self) -> None:
        self.script: dict[str, list[Answer]] = {}
        self.seen: list[httpx2.Request] = []
        self.keys: list[dict[str, str]] = []
        self.when("GET ssh-keys", lambda _: data(self.keys))
        self.when("POST ssh-keys", self._add_key)

    def when(self, what: str, *answers: Answer) -> None:
        """Say what comes back for `METHOD path`."""
        self.script[what] = list(answers)

    def count(self, what: str) -> int:
        """How many requests `METHOD path` have come."""
        return sum(_named(request) == what for request in self.seen)

    def body(self, what: str) -> Any:
        """What the last request `METHOD path` carried."""
        return json.loads(next(request for request in reversed(self.seen) if _named(request) == what).content)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        hold_request(request)
        self.seen.append(request)
        answers = self.script.get(_named(request)) or [refusal(404, "global/object-does-not-exist")]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return (
            answer(request)
            if callable(answer)
            else httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)
        )

    def _add_key(self, request: httpx2.Request) -> httpx2.Response:
        key = {"id": f"{len(self.keys):032x}", **json.loads(request.content)}
        if "public_key" not in key:
            return data(
                {**key, "public_key": "ssh-rsa AAAA", "private_key": "-----BEGIN RSA PRIVATE KEY-----\nsecret"}
            )
        self.keys.append(key)
        return data(key)


def _named(request: httpx2.Request) -> str:
    return f"{request.method} {request.url.path.removeprefix('/api/v1/')}"
