"""What a test starts from, and how it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from textual.pilot import Pilot

from llama_tui.core.instances import Instance
from llama_tui.core.plan import Choices
from llama_tui.endpoints import Endpoint
from llama_tui.jobs.rent import LAUNCH_ASKED
from tests.tui.fakes import FakeServices
from tests.tui.screen_text import screen_text

WAIT_SECONDS = 20.0
"""How long a condition may take on a busy computer."""


async def an_endpoint(services: FakeServices, name: str = "demo", cloud: str = "practice", **fields: Any) -> Endpoint:
    """An endpoint in the record: `ready`, its machine launched 30 minutes ago, unless `fields` say otherwise."""
    model = "smollm2-135m" if cloud in ("practice", "local", "ssh") else "llama-3.1-8b"
    plan = await services.plan(Choices(model, cloud, name=name, host="me@box" if cloud == "ssh" else ""))
    endpoint = services.endpoints.intend(plan)
    kind = plan.instance_type
    facts: dict[str, Any] = {"state": "ready", "ready": datetime.now(UTC), "port": 8000}
    if plan.rents:
        services.endpoints.note(endpoint.id, LAUNCH_ASKED)
        machine = Instance(f"i-{name}", endpoint.instance_name, "active", kind.name, "us-west-1")
        facts["instance"] = replace(machine, price_cents_per_hour=kind.price_cents_per_hour, ip="192.0.2.1")
        facts["launched"] = datetime.now(UTC) - timedelta(minutes=29, seconds=30)
    return services.endpoints.change(endpoint.id, **(facts | fields))


async def until(pilot: Pilot[Any], condition: Callable[[], Any]) -> None:
    """Wait for a condition; on failure say what was on the screen."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():
                await pilot.pause(0.02)
    except TimeoutError:
        raise AssertionError(f"it did not come:\n{screen_text(pilot.app)}") from None


async def shows(pilot: Pilot[Any], *words: str) -> str:
    """Wait until all of these words are on the screen; returns its text."""
    await until(pilot, lambda: all(word in screen_text(pilot.app) for word in words))
    return screen_text(pilot.app)
