"""A plain HTTP client of the pretend Lambda that holds every answer against the vendor's OpenAPI document."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2

from llama_tui.practice.process import Practice
from tests.lambda_document import hold_answer

LIMIT = 20.0
"""Seconds for anything that is waited for."""


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
            hold_answer(answer.request, answer)
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
