"""Ask a model and watch it answer: over real HTTP, with a server that says what the test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input

from llama_tui.core.errors import HostUnreachable
from llama_tui.core.interfaces import Address
from llama_tui.endpoints import Endpoint
from llama_tui.jobs.reach import Server
from llama_tui.redact import Secret
from llama_tui.tui.widgets.prompt_input import PromptInput
from llama_tui.tui.widgets.prompt_pane import PromptPane
from llama_tui.tui.widgets.turn import Turn
from tests.tui.fakes import FakeServices
from tests.tui.model_server import BreakOff, ModelServer, model_server
from tests.tui.screen_text import screen_text

ENDPOINT = Endpoint(
    id="a1", name="demo", cloud="url", host="", state="ready", created=datetime(2026, 1, 1, tzinfo=UTC),
    base_url="http://127.0.0.1:9", model="smollm2-135m",
)  # fmt: skip
HOSTILE = "[/] [@click=app.quit]x[/] \x1b]52;c;aGk=\x07\x1b[31m[link=x]"


class PromptApp(App[None]):
    """The pane and nothing else."""

    def __init__(self, pane: PromptPane) -> None:
        super().__init__()
        self.pane = pane

    def compose(self) -> ComposeResult:
        yield self.pane


@pytest.fixture
async def model(services: FakeServices) -> AsyncIterator[ModelServer]:
    async with model_server() as model:
        services.address = model.address
        yield model


@asynccontextmanager
async def opened(
    services: FakeServices, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[tuple[PromptPane, Pilot[None]]]:
    """The pane, connected."""
    pane = PromptPane(services, ENDPOINT)  # type: ignore[arg-type]
    async with PromptApp(pane).run_test(size=size, notifications=True) as pilot:
        yield pane, pilot


async def until(condition: Callable[[], bool], pilot: Pilot[None]) -> None:
    """Wait for something to be so; 10 seconds at most."""
    async with asyncio.timeout(10):
        while not condition():
            await pilot.pause(0.02)
    await pilot.pause()


async def ask(pane: PromptPane, pilot: Pilot[None], text: str) -> Turn:
    """Type, press Enter, and wait for the turn."""
    turns = len(pane.query(Turn))
    pane.prompt_input.focus()
    pane.prompt_input.text = text
    await pilot.press("enter")
    await until(lambda: len(pane.query(Turn)) > turns, pilot)
    return list(pane.query(Turn))[-1]


async def test_enter_sends_and_the_answer_streams_with_its_facts(services: FakeServices, model: ModelServer) -> None:
    """Tokens, time to the first, tokens per second and why it ended stand under each answer."""
    async with opened(services) as (pane, pilot):
        turn = await ask(pane, pilot, "Say hello")
        await until(lambda: not pane.answering, pilot)
        assert turn.answer == "Hello there!"
        shown = screen_text(pilot.app)
        assert "Hello there!" in shown
        assert "3 tokens · first after" in shown
        assert "finished (stop)" in shown
        assert pane.prompt_input.text == ""
    assert model.paths == ["/v1/chat/completions"]
    assert model.asked[0]["messages"] == [{"role": "user", "content": "Say hello"}]
    assert model.asked[0]["max_tokens"] == 256


async def test_a_chat_sends_the_earlier_turns_along(services: FakeServices, model: ModelServer) -> None:
    """And F5 begins a new one."""
    async with opened(services) as (pane, pilot):
        await ask(pane, pilot, "one")
        await until(lambda: not pane.answering, pilot)
        await ask(pane, pilot, "two")
        await until(lambda: not pane.answering, pilot)
        assert [turn["content"] for turn in model.asked[1]["messages"]] == ["one", "Hello there!", "two"]
        await pilot.press("f5")
        await ask(pane, pilot, "three")
        await until(lambda: not pane.answering, pilot)
        assert [turn["content"] for turn in model.asked[2]["messages"]] == ["three"]


async def test_completion_continues_the_text(services: FakeServices, model: ModelServer) -> None:
    """ctrl+t switches; the fields go with the request."""
    model.finish_reason = "length"
    async with opened(services) as (pane, pilot):
        await pilot.press("ctrl+t")
        pane.query_one("#max-tokens", Input).value = "7"
        pane.query_one("#temperature", Input).value = "0"
        await ask(pane, pilot, "Once upon")
        await until(lambda: not pane.answering, pilot)
        assert "cut at max tokens (length)" in screen_text(pilot.app)
    assert model.paths == ["/v1/completions"]
    assert (model.asked[0]["prompt"], model.asked[0]["max_tokens"], model.asked[0]["temperature"]) == (
        "Once upon",
        7,
        0,
    )


async def test_a_field_that_is_no_number_is_said_and_nothing_is_sent(
    services: FakeServices, model: ModelServer
) -> None:
    """The prompt stays where it is."""
    async with opened(services) as (pane, pilot):
        pane.query_one("#max-tokens", Input).value = "0"
        pane.prompt_input.text = "keep me"
        await pilot.press("enter")
        await until(lambda: "max tokens is not a number" in screen_text(pilot.app), pilot)
        assert pane.prompt_input.text == "keep me"
    assert model.asked == []


async def test_escape_stops_and_keeps_the_half(services: FakeServices, model: ModelServer) -> None:
    """The server is told by the closed connection; the half is marked."""
    model.scripts = [["half", "hold", " never"]]
    async with opened(services) as (pane, pilot):
        turn = await ask(pane, pilot, "go on")
        await until(lambda: turn.answer == "half", pilot)
        await pilot.press("escape")
        await until(lambda: not pane.answering, pilot)
        async with asyncio.timeout(10):
            await model.gone.wait()
        assert "half" in screen_text(pilot.app) and "stopped" in screen_text(pilot.app)
        await ask(pane, pilot, "again")
        await until(lambda: not pane.answering, pilot)
        assert "Hello there!" in screen_text(pilot.app)


async def test_an_answer_that_breaks_off_keeps_what_came(services: FakeServices, model: ModelServer) -> None:
    """What came stays, the sentence says why, the prompt is back in its field, and the next prompt works."""
    model.scripts = [["half", BreakOff]]
    async with opened(services) as (pane, pilot):
        await ask(pane, pilot, "my long prompt")
        await until(lambda: not pane.answering, pilot)
        shown = screen_text(pilot.app)
        assert "half" in shown and "broken off" in shown and "the answer broke off" in shown
        assert pane.prompt_input.text == "my long prompt"
        await pilot.press("enter")
        await until(lambda: len(pane.query(Turn)) == 2 and not pane.answering, pilot)
        assert "Hello there!" in screen_text(pilot.app)


async def test_a_refusal_is_a_sentence_and_a_hint(services: FakeServices, model: ModelServer) -> None:
    """The text of a server is never markup and never an escape sequence."""
    model.refusal = (503, f"Loading model {HOSTILE}")
    async with opened(services) as (pane, pilot):
        await ask(pane, pilot, "hello?")
        await until(lambda: not pane.answering, pilot)
        shown = screen_text(pilot.app)
        assert "the server refused: Loading model [/] [@click" in shown
        assert "it may still be loading" in shown
        assert "\x1b" not in shown
        assert pane.prompt_input.text == "hello?"


async def test_what_a_model_writes_is_text(services: FakeServices, model: ModelServer) -> None:
    """No markup, no escape sequence, also when one is cut over two pieces."""
    model.scripts = [[HOSTILE, "\x1b", "]0;title\x07 end"]]
    async with opened(services) as (pane, pilot):
        turn = await ask(pane, pilot, HOSTILE)
        await until(lambda: not pane.answering, pilot)
        assert "[/] [@click=app.quit]x[/]" in turn.answer and "\x1b" not in turn.answer
        assert "\x1b" not in screen_text(pilot.app)


async def test_a_secret_that_comes_in_two_pieces_is_blotted(services: FakeServices, model: ModelServer) -> None:
    """What is shown and copied is cleaned as a whole, not piece by piece."""
    model.scripts = [["the token is hf_abc", "defghijklmnop"]]
    async with opened(services) as (pane, pilot):
        turn = await ask(pane, pilot, "what is it?")
        await until(lambda: not pane.answering, pilot)
        assert turn.answer == "the token is ••••"
        assert "defghijklmnop" not in screen_text(pilot.app)


async def test_a_machine_that_does_not_answer_is_said_and_tried_again(
    services: FakeServices, model: ModelServer
) -> None:
    """The connection is made on mount; when it fails the prompt says why and the next one tries again."""
    tries = 0

    @asynccontextmanager
    async def reach(endpoint: Endpoint, *, local_port: int = 0) -> AsyncIterator[Server]:
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise HostUnreachable("10.0.0.1 does not answer", "is it still up?")
        yield Server(model.address, Secret(""), "m")

    services.reach = reach  # type: ignore[method-assign,assignment]
    async with opened(services) as (pane, pilot):
        await until(lambda: "not connected: 10.0.0.1 does not" in screen_text(pilot.app), pilot)
        await ask(pane, pilot, "hello")
        await until(lambda: not pane.answering, pilot)
        assert "is it still up?" in screen_text(pilot.app)
        await pilot.press("enter")
        await until(lambda: len(pane.query(Turn)) == 2 and not pane.answering, pilot)
        assert "Hello there!" in screen_text(pilot.app)


async def test_one_connection_is_held_and_renewed_when_it_is_dead(services: FakeServices, model: ModelServer) -> None:
    """A laptop that slept has a dead connection: it is made again without a word lost."""
    addresses = [Address("http://127.0.0.1:9"), model.address]
    closed: list[str] = []

    @asynccontextmanager
    async def reach(endpoint: Endpoint, *, local_port: int = 0) -> AsyncIterator[Server]:
        address = addresses.pop(0)
        try:
            yield Server(address, Secret(""), "m")
        finally:
            closed.append(address.base_url)

    services.reach = reach  # type: ignore[method-assign,assignment]
    async with opened(services) as (pane, pilot):
        await until(lambda: "connecting" not in screen_text(pilot.app), pilot)
        for text in ("one", "two"):
            turn = await ask(pane, pilot, text)
            await until(lambda: not pane.answering, pilot)
            assert turn.answer == "Hello there!"
        assert closed == ["http://127.0.0.1:9"]


async def test_keys_of_the_field(services: FakeServices, model: ModelServer) -> None:
    """ctrl+j begins a line, up brings the last prompt back, Esc leaves the field, y copies."""
    async with opened(services) as (pane, pilot):
        await pilot.press("a", "ctrl+j", "b")
        assert pane.prompt_input.text == "a\nb"
        await pilot.press("enter")
        await until(lambda: bool(model.asked) and not pane.answering, pilot)
        await pilot.press("up")
        assert pane.prompt_input.text == "a\nb"
        await pilot.press("escape")
        assert not isinstance(pilot.app.focused, PromptInput)
        await pilot.press("y")
        assert pilot.app.clipboard == "Hello there!"


def test_a_base_model_is_asked_to_complete(services: FakeServices) -> None:
    """It has no chat template; a URL of somebody else's is asked to chat first."""
    assert PromptPane(services, ENDPOINT).chat  # type: ignore[arg-type]
    from tests.tui.test_status_header import READY

    assert not PromptPane(services, replace(READY, id="b")).chat  # type: ignore[arg-type]
