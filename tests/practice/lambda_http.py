"""A plain HTTP client of the pretend Lambda that holds every answer against the vendor's OpenAPI document."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from llama_tui.practice.process import Practice

DOCUMENT = json.loads((Path(__file__).parent / "lambda-cloud-openapi.json").read_text())
REGISTRY = Registry().with_resource("lambda", Resource.from_contents(DOCUMENT, default_specification=DRAFT202012))
LIMIT = 20.0
"""Seconds for anything that is waited for."""


def schema_of(method: str, path: str, status: int) -> dict[str, Any] | None:
    """What the document promises for an answer; None where it knows no such answer."""
    for template, operations in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in operations:
            answer = operations[method.lower()]["responses"].get(str(status))
            return answer["content"]["application/json"]["schema"] if answer else None
    return None


def absolute(value: Any) -> Any:
    """References of the document as references into the registry."""
    if isinstance(value, dict):
        return {k: f"lambda{v}" if k == "$ref" else absolute(v) for k, v in value.items()}
    return [absolute(one) for one in value] if isinstance(value, list) else value


async def until(happened: Callable[[], Any], limit: float = LIMIT) -> Any:
    """Wait for a condition; it may be a coroutine function. Returns what it returned."""
    async with asyncio.timeout(limit):
        while True:
            found = happened()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)


class Api:
    """The account over HTTP. `check` is off where an answer is not in the document."""

    def __init__(self, practice: Practice, public_key: str = "") -> None:
        self.practice = practice
        self.public_key = public_key
        self.client = httpx2.AsyncClient(
            base_url=practice.url,
            headers={"Authorization": f"Bearer {practice.key}", "User-Agent": "test/1"},
            trust_env=False,
            verify=False,
            timeout=LIMIT,
        )

    async def ask(
        self, method: str, path: str, body: Any = None, *, status: int = 200, check: bool = True, **more: Any
    ) -> Any:
        answer = await self.client.request(method, f"/api/v1{path}", json=body, **more)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"].startswith("application/json")
        if check:
            schema = schema_of(method, f"/api/v1{path}", status)
            assert schema, f"the document knows no {status} for {method} {path}"
            Draft202012Validator(absolute(schema), registry=REGISTRY).validate(answer.json())
        found = answer.json()
        return found["data"] if status == 200 else found["error"]

    async def refused(self, method: str, path: str, body: Any = None, *, status: int = 400) -> str:
        """The code of a refusal."""
        return str((await self.ask(method, path, body, status=status))["code"])

    async def add_key(self, name: str = "mine") -> None:
        await self.ask("POST", "/ssh-keys", {"name": name, "public_key": self.public_key})

    async def launch(self, **changed: Any) -> str:
        body = {
            "region_name": "us-east-1",
            "instance_type_name": "cpu_4x_general",
            "ssh_key_names": ["mine"],
            "name": "llama-tui-test",
        }
        return str((await self.ask("POST", "/instance-operations/launch", body | changed))["instance_ids"][0])

    async def instance(self, id_: str) -> dict[str, Any]:
        return dict(await self.ask("GET", f"/instances/{id_}"))

    async def active(self, id_: str) -> dict[str, Any]:
        async def is_active() -> Any:
            one = await self.instance(id_)
            return one if one["status"] == "active" else None

        return dict(await until(is_active))

    async def terminate(self, id_: str) -> dict[str, Any]:
        done = await self.ask("POST", "/instance-operations/terminate", {"instance_ids": [id_]})
        return dict(done["terminated_instances"][0])

    async def gone(self, id_: str) -> None:
        """Wait until the account does not list it."""

        async def is_gone() -> bool:
            return id_ not in [one["id"] for one in await self.ask("GET", "/instances")]

        await until(is_gone)
