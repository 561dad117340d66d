"""The app around the screens: keys of one's own, the palette, signals, and what it does not leak."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llama_tui.core.events import Output, Progress, Said
from llama_tui.core.plan import Choices
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.deploys import EVENTS_KEPT, Deploy
from llama_tui.tui.keys import bindings, checked
from llama_tui.tui.screens.launch import LaunchScreen
from tests.tui.fakes import FakeServices, said, until


async def test_demo_opens_launch_on_the_practice_cloud(services: FakeServices) -> None:
    app = LlamaTuiApp(services, open_cloud="practice")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen))
        await pilot.press("escape")
        await until(pilot, lambda: "A new endpoint" in said(app))


async def test_keys_of_ones_own(services: FakeServices) -> None:
    """`[keys]` of config.toml moves a binding; an unknown id and a taken key are said, and left out."""
    services.settings = replace(services.settings, keys={"practice": "f8", "practise": "f9", "lambda": "3"})
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "the nearest is practice" in said(app))
        assert "lambda = 3: the key is taken by own" in said(app)
        await pilot.press("f8")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen))


def test_every_binding_has_an_id_and_says_what_it_does() -> None:
    """So that it can be remapped, found in the palette, and explained by the help panel."""
    assert all(bindings().values())
    assert checked({}) == ({}, [])


async def test_the_palette_has_every_action(services: FakeServices) -> None:
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert {"Practice", "Lambda Cloud", "My own machine", "An endpoint URL", "Refresh", "Quit"} <= titles
        await pilot.press("ctrl+p")
        await pilot.press(*"Practice", "enter")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen))


async def test_the_crash_screen_shows_no_local_variables(
    services: FakeServices, capsys: pytest.CaptureFixture[str]
) -> None:
    """A local may be a secret."""
    app = LlamaTuiApp(services)
    with pytest.raises(ZeroDivisionError):
        async with app.run_test(notifications=True) as pilot:
            await pilot.pause()

            def crash() -> None:
                hidden = "hunter2" * 2
                assert hidden
                _ = 1 / 0

            app.call_later(crash)
            await pilot.pause()
    shown = capsys.readouterr().err
    assert "ZeroDivisionError" in shown
    assert "hunter2hunter2" not in shown


async def test_one_deploy_per_name(services: FakeServices) -> None:
    """Starting it twice is one job, and one machine."""
    services.go.clear()
    app = LlamaTuiApp(services)
    async with app.run_test(notifications=True) as pilot:
        plan = await services.plan(Choices(model="smollm2-135m", cloud="practice"))
        first = app.start_deploy(plan)
        await until(pilot, lambda: bool(services.deployed))
        assert app.start_deploy(plan) is first
        services.go.set()
        await until(pilot, lambda: not first.running)
    assert len(services.deployed) == 1


async def test_terminating_stops_a_running_deploy_first(services: FakeServices) -> None:
    services.go.clear()
    app = LlamaTuiApp(services)
    async with app.run_test(notifications=True) as pilot:
        deploy = app.start_deploy(await services.plan(Choices(model="smollm2-135m", cloud="practice")))
        await until(pilot, lambda: bool(services.endpoints.live()))
        ending = app.start_terminate(services.endpoints.live()[0])
        await until(pilot, lambda: services.terminated == ["smollm2-135m"])
        assert not deploy.running
        services.go.set()
        await until(pilot, lambda: ending.receipt is not None)
    assert services.endpoints.live() == []


def test_a_deploy_keeps_what_a_screen_needs() -> None:
    """Log lines are not kept, of a row of progress reports only the last, of the rest the newest."""
    deploy = Deploy("one")
    deploy.record(Output("setup", ("a line",)))
    deploy.record(Progress("loading", "1 of 2", 0.5))
    deploy.record(Progress("loading", "2 of 2", 1.0))
    assert deploy.events == [Progress("loading", "2 of 2", 1.0)]
    for number in range(2 * EVENTS_KEPT):
        deploy.record(Said(str(number)))
    assert len(deploy.events) == EVENTS_KEPT
    assert deploy.said == str(2 * EVENTS_KEPT - 1)


@pytest.mark.parametrize("size", [(1, 1), (20, 6), (39, 10)])
async def test_tiny_terminals_do_not_crash(services: FakeServices, size: tuple[int, int]) -> None:
    app = LlamaTuiApp(services)
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.press("1")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen) and app.screen.planned is not None)
        await pilot.press("f5")
        await pilot.pause()
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
