"""Quitting: nothing that costs is left unsaid."""

from __future__ import annotations

import asyncio
from typing import Any

from textual.pilot import Pilot

from llama_tui.core.errors import LlamaTuiError
from llama_tui.core.plan import Choices
from llama_tui.tui.app import LlamaTuiApp
from tests.tui.fakes import FakeServices, said, until


async def test_quits_at_once_when_nothing_runs(services: FakeServices) -> None:
    app = LlamaTuiApp(services)
    async with app.run_test(notifications=True) as pilot:
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running or app._exit)


async def _with_one(services: FakeServices, cloud: str = "lambda") -> None:
    await services.deploy(await services.plan(Choices(model="llama-3.1-8b", cloud=cloud)), lambda _: None)


async def test_asks_while_a_machine_is_rented(services: FakeServices) -> None:
    """The price is said; Enter alone stays; l leaves it running."""
    await _with_one(services)
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "Leave running: goes on and costs $0.75/h" in said(app))
        await pilot.press("enter")
        await until(pilot, lambda: "Leave running" not in said(app))
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "Leave running" in said(app))
        await pilot.press("l")
        await until(pilot, lambda: app._exit)
    assert services.terminated == []


async def test_end_all_waits_for_the_proof(services: FakeServices) -> None:
    """T ends every machine, and the app leaves only once it is gone."""
    await _with_one(services)
    services.go.clear()
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "Leave running" in said(app))
        await pilot.press("t")
        await until(pilot, lambda: "ending i-1" in said(app))
        assert not app._exit
        services.go.set()
        await until(pilot, lambda: app._exit)
    assert services.endpoints.live() == []


async def test_end_all_stays_when_it_cannot_be_proven(services: FakeServices) -> None:
    """A machine that may still cost keeps the app open, with the error."""
    await _with_one(services)
    services.terminate_error = LlamaTuiError("i-1 may still run", "try again")
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "Leave running" in said(app))
        await pilot.press("t")
        await until(pilot, lambda: "i-1 may still run" in said(app))
        assert "may still cost money" in said(app)
        assert not app._exit


async def test_leaving_during_a_deploy_lets_it_finish_its_clean_up(services: FakeServices) -> None:
    """The job is cancelled and awaited before the app exits: its record stays."""
    services.go.clear()
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        deploy = app.start_deploy(await services.plan(Choices(model="llama-3.1-8b", cloud="lambda")))
        await until(pilot, lambda: bool(services.endpoints.live()))
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "Leave running" in said(app))
        await pilot.press("l")
        await until(pilot, lambda: app._exit)
        assert not deploy.running
    assert [one.state for one in services.endpoints.live()] == ["setup"]


def test_looks(snap_compare: Any, services: FakeServices) -> None:
    asyncio.run(_with_one(services))  # before the app: what Home focuses depends on what there is when it looks

    async def wait(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: all(word in said(pilot.app) for word in ("needs your API key", "llama-3-1-8b")))
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "Leave running" in said(pilot.app))

    assert snap_compare(LlamaTuiApp(services), terminal_size=(80, 24), run_before=wait)
