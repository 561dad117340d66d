"""The screen of an endpoint that answers: prompt and logs, in the real app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from textual.pilot import Pilot

from llama_tui.core.errors import HostUnreachable
from llama_tui.core.interfaces import Address
from llama_tui.endpoints import Endpoint
from llama_tui.jobs.prompt import Answer
from llama_tui.jobs.reach import Server
from llama_tui.redact import Secret
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.screens.confirm import ConfirmScreen
from llama_tui.tui.screens.endpoint import EndpointScreen
from llama_tui.tui.screens.home import HomeScreen
from llama_tui.tui.widgets import status_header
from llama_tui.tui.widgets.log_view import LogView
from llama_tui.tui.widgets.prompt_input import PromptInput
from llama_tui.tui.widgets.prompt_pane import PromptPane
from llama_tui.tui.widgets.turn import Turn
from tests.tui.fakes import FakeServices
from tests.tui.given import an_endpoint, shows, until
from tests.tui.model_server import model_server
from tests.tui.screen_text import screen_text

HOSTILE = "[/] [@click=app.quit]x[/] \x1b]52;c;aGk=\x07\x1b[31mred"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LOG = "".join(f"INFO 11-23 12:00:{i % 60:02} [api_server.py:12] line {i}\n" for i in range(200))


@asynccontextmanager
async def opened(
    services: FakeServices, endpoint: Endpoint, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[tuple[EndpointScreen, Pilot[Any]]]:
    """The app with that endpoint open."""
    app = LlamaTuiApp(services)  # type: ignore[arg-type]
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.pause()
        app.open_endpoint(endpoint)
        await until(pilot, lambda: isinstance(app.screen, EndpointScreen) and app.screen.is_mounted)
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, EndpointScreen)
        yield screen, pilot


async def test_opens_with_the_cursor_in_the_prompt(services: FakeServices) -> None:
    """What runs and what it costs is on top; typing is asking."""
    async with opened(services, await an_endpoint(services, cloud="lambda")) as (screen, pilot):
        shown = await shows(pilot, "● ready", "$0.75/h", "Ask meta-llama/Llama-3.1-8B")
        assert "lid shut: the machine stays up and costs" in shown
        assert isinstance(screen.focused, PromptInput)
        await pilot.press("x", "?")
        assert screen.query_one(PromptInput).text == "x?"


async def test_asks_and_is_answered(services: FakeServices) -> None:
    """The whole way, over real HTTP."""
    async with model_server() as model:
        services.address = model.address
        async with opened(services, await an_endpoint(services)) as (_, pilot):
            await pilot.press("h", "i", "enter")
            await shows(pilot, "Hello there!", "3 tokens", "finished (stop)")


async def test_logs_follow_the_local_copy(services: FakeServices) -> None:
    """F3 shows what the server writes; F2 goes back, with the prompt as it was left."""
    endpoint = await an_endpoint(services)
    log = services.endpoints.log_file(endpoint, "server")
    log.write_text(LOG)
    async with opened(services, endpoint) as (screen, pilot):
        await pilot.press("d", "f3")
        await shows(pilot, "line 199", "200 lines", "following")
        assert isinstance(screen.focused, LogView)
        with log.open("a") as file:
            file.write(f"{HOSTILE} the newest line\n")
        shown = await shows(pilot, "the newest line", "201 lines")
        assert "\x1b" not in shown
        await pilot.press("f2")
        assert screen.query_one(PromptInput).text == "d"
        assert isinstance(screen.focused, PromptInput)


async def test_tabs_can_be_clicked(services: FakeServices) -> None:
    """A mouse does what F2 and F3 do."""
    async with opened(services, await an_endpoint(services)) as (screen, pilot):
        await pilot.click("#tab-logs")
        await until(pilot, lambda: screen.switcher.current == "logs")
        await pilot.click("#tab-prompt")
        await until(pilot, lambda: screen.switcher.current == "prompt")


async def test_escape_leaves_the_field_then_the_screen(services: FakeServices) -> None:
    """And never quits."""
    async with opened(services, await an_endpoint(services)) as (screen, pilot):
        await pilot.press("escape")
        assert not isinstance(screen.focused, PromptInput)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen))
        await pilot.press("escape", "escape")
        assert pilot.app.is_running


@pytest.mark.parametrize("keys", [["f8"], ["escape", "x"]])
async def test_terminating_asks_first(services: FakeServices, keys: list[str]) -> None:
    """F8 works while typing; x once the field is left."""
    async with opened(services, await an_endpoint(services)) as (_, pilot):
        await pilot.press(*keys)
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        await pilot.press("n")
        assert services.terminated == []


async def test_says_when_another_process_ended_it(services: FakeServices) -> None:
    """`llama-tui down` in another terminal: the header and a notification say so."""
    endpoint = await an_endpoint(services)
    async with opened(services, endpoint) as (_, pilot):
        services.endpoints.change(endpoint.id, state="ended")
        await shows(pilot, "○ ended", "it was terminated from elsewhere")


async def test_an_endpoint_that_is_not_there_is_a_sentence(services: FakeServices) -> None:
    """With the nearest name."""
    await an_endpoint(services, name="demo")
    app = LlamaTuiApp(services)  # type: ignore[arg-type]
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.push_screen(EndpointScreen("dema"))
        await shows(pilot, "there is no endpoint 'dema'", "did you mean demo?")
        await pilot.press("f2", "f3", "f8", "escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))


async def test_a_machine_that_is_away_is_said_on_both_tabs(services: FakeServices) -> None:
    """Its words are text, whatever is in them; the copy of the log can still be read."""

    @asynccontextmanager
    async def reach(endpoint: Endpoint, *, local_port: int = 0) -> AsyncIterator[Server]:
        raise HostUnreachable(f"{HOSTILE} does not answer", "is it still up?")
        yield Server(Address(""), Secret(""), "")

    async def follow_log(endpoint: Endpoint, source: str, emit: Callable[[Any], None], *, forever: bool) -> None:
        raise HostUnreachable(f"{HOSTILE} does not answer", "is it still up?")

    services.reach = reach  # type: ignore[method-assign,assignment]
    services.follow_log = follow_log  # type: ignore[method-assign,assignment]
    endpoint = await an_endpoint(services)
    services.endpoints.log_file(endpoint, "server").write_text(LOG)
    async with opened(services, endpoint, (120, 30)) as (_, pilot):
        assert "\x1b" not in await shows(pilot, "not connected: [/] [@click=app.quit]x[/] red does not answer")
        await pilot.press("f3")
        assert "\x1b" not in await shows(pilot, "line 199", "[/] [@click=app.quit]x[/] red does not answer")


@pytest.mark.parametrize("size", [(1, 1), (20, 6), (32, 24), (80, 10)])
async def test_any_size(services: FakeServices, size: tuple[int, int]) -> None:
    """Cramped, never broken."""
    async with opened(services, await an_endpoint(services), size) as (_, pilot):
        await pilot.press("f3", "f2", "f3")
        await pilot.resize_terminal(100, 30)
        await shows(pilot, "Prompt  F2")


# ---- the picture


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ids, the same time."""
    monkeypatch.setattr(status_header, "now", lambda: NOON)
    monkeypatch.setattr("secrets.token_hex", lambda n=4: "0badcafe")


SIZES = pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])


async def _open(services: FakeServices, pilot: Pilot[Any], cloud: str) -> EndpointScreen:
    endpoint = await an_endpoint(services, cloud=cloud, launched=NOON - timedelta(minutes=90))
    services.endpoints.log_file(endpoint, "server").write_text(LOG + "WARNING slow disk\nERROR ValueError: no\n")
    app = pilot.app
    assert isinstance(app, LlamaTuiApp)
    app.open_endpoint(endpoint)
    await until(pilot, lambda: isinstance(app.screen, EndpointScreen) and app.screen.is_mounted)
    screen = app.screen
    assert isinstance(screen, EndpointScreen)
    screen.query_one(PromptInput).cursor_blink = False
    await until(pilot, lambda: "connecting" not in screen_text(app))
    return screen


@SIZES
def test_picture_of_a_conversation(
    snap_compare: Callable[..., bool], services: FakeServices, still: None, size: tuple[int, int]
) -> None:
    """Question, answer, what it took; one broken off."""

    async def before(pilot: Pilot[Any]) -> None:
        screen = await _open(services, pilot, "practice")
        pane = screen.query_one(PromptPane)
        pane.query_one("#empty").display = False
        first, second = Turn("Where do llamas live?", chat=True), Turn("And what do they eat?", chat=True)
        await pane.conversation.mount(first, second)
        first.add("In the Andes: Peru, Bolivia, Chile, Argentina and Ecuador.\n\nMost of them above 3,000 m.")
        first.done(Answer("", "stop", 12, 31, 0.142, 1.31))
        second.add("Grass, ichu grass above all, and")
        second.failed(HostUnreachable("the answer broke off: connection lost", "is the server still up? see its log"))
        pane.prompt_input.give_back("And what do they eat?")

    assert snap_compare(LlamaTuiApp(services), terminal_size=size, run_before=before)  # type: ignore[arg-type]


@SIZES
def test_picture_of_the_logs(
    snap_compare: Callable[..., bool], services: FakeServices, still: None, size: tuple[int, int]
) -> None:
    """Following, with a search."""

    async def before(pilot: Pilot[Any]) -> None:
        await _open(services, pilot, "lambda")
        await pilot.press("f3", "slash", *"line 19", "enter")
        await shows(pilot, "found")

    assert snap_compare(LlamaTuiApp(services), terminal_size=size, run_before=before)  # type: ignore[arg-type]


def test_picture_of_an_empty_prompt(snap_compare: Callable[..., bool], services: FakeServices, still: None) -> None:
    """What to do stands where it is done."""

    async def before(pilot: Pilot[Any]) -> None:
        await _open(services, pilot, "lambda")

    assert snap_compare(LlamaTuiApp(services), terminal_size=(80, 24), run_before=before)  # type: ignore[arg-type]
