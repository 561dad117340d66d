"""The look before a launch: each line with its fix, and what a failed line does to the question."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from llama_tui.core.errors import LlamaTuiError
from llama_tui.jobs.preflight import Check
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.screens.credentials import CredentialsScreen
from llama_tui.tui.screens.launch import LaunchScreen
from llama_tui.tui.screens.preflight import PreflightScreen
from tests.tui.fakes import FakeServices, said, until

GOOD = Check("account", "ok", "the key is valid; 0 machines running; 14 types with capacity")
LICENCE = Check(
    "weights", "failed", "the licence of org/model is not granted to this token", "accept it at hf.co/org/model"
)
SILENT = Check("Hugging Face token", "unknown", "Hugging Face does not answer", "check the network")


async def at_the_plan(pilot: Pilot[Any]) -> None:
    app = pilot.app
    await until(pilot, lambda: isinstance(app.screen, LaunchScreen) and app.screen.planned is not None)


async def test_each_line_has_its_fix(services: FakeServices) -> None:
    """P looks, r looks again, k leads to keys and tokens and looks again when something was kept."""
    services.checks = [GOOD, LICENCE, SILENT]
    app = LlamaTuiApp(services, open_cloud="practice")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await at_the_plan(pilot)
        await pilot.press("p")
        await until(pilot, lambda: "✕  weights" in said(app))
        text = said(app)
        assert "✓  account" in text and "?  Hugging Face token" in text
        assert "accept it at hf.co/org/model" in text and "check the network" in text
        services.checks = [GOOD]
        await pilot.press("r")
        await until(pilot, lambda: "✕  weights" not in said(app))
        await pilot.press("k")
        await until(pilot, lambda: isinstance(app.screen, CredentialsScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, PreflightScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen))


NO_TOKEN = Check("Hugging Face token", "failed", "there is none", "make one, then: llama-tui login hf")


async def test_what_fails_stands_first_and_its_key_is_at_hand(services: FakeServices) -> None:
    """On a small terminal too: the failed line on top, all buttons to be seen, the rest by the arrows."""
    services.checks = [*[GOOD] * 20, Check("disk", "ok", "the last line"), NO_TOKEN]
    app = LlamaTuiApp(services, open_cloud="practice")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await at_the_plan(pilot)
        await pilot.press("p")
        await until(pilot, lambda: "make one, then: k, Keys and tokens" in said(app))
        assert "Keys and tokens  k" in said(app) and "Back  Esc" in said(app)
        assert "the last line" not in said(app)
        await pilot.press(*["down"] * 40)
        await until(pilot, lambda: "the last line" in said(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, CredentialsScreen))


async def test_a_failed_line_is_in_the_question(services: FakeServices) -> None:
    """Launching all the same is possible, and said to be that."""
    services.checks = [GOOD, LICENCE]
    app = LlamaTuiApp(services, open_cloud="practice")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await at_the_plan(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: "Launch all the same" in said(app))
        assert "the licence of org/model is not granted" in said(app)
        await pilot.press("enter")
        assert services.deployed == []


async def test_a_look_that_fails_is_said(services: FakeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an empty list."""

    async def broken(choices: object) -> list[Check]:
        raise LlamaTuiError("the settings cannot be read", "mend them")

    monkeypatch.setattr(services, "preflight", broken)
    app = LlamaTuiApp(services, open_cloud="practice")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await at_the_plan(pilot)
        await pilot.press("p")
        await until(pilot, lambda: "the settings cannot be read" in said(app) and "mend them" in said(app))


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
def test_looks(snap_compare: Any, services: FakeServices, size: tuple[int, int]) -> None:
    services.checks = [GOOD, LICENCE, SILENT]

    async def wait(pilot: Pilot[None]) -> None:
        await at_the_plan(pilot)
        await pilot.press("p")
        await until(pilot, lambda: "✕  weights" in said(pilot.app))

    assert snap_compare(LlamaTuiApp(services, open_cloud="practice"), terminal_size=size, run_before=wait)
