"""Keys and tokens in the app: tried on entry, kept where a person says, never shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from textual.pilot import Pilot

from llama_tui import credentials
from llama_tui.core.errors import CredentialRejected
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.screens.credentials import CredentialsScreen
from llama_tui.tui.screens.launch import LaunchScreen
from tests.tui.fakes import FakeServices, said, until

KEY = "secret_canary_4711"


@pytest.fixture(autouse=True)
def no_session_left() -> Iterator[None]:
    yield
    credentials.forget("lambda")
    credentials.forget("hf")


async def opened(pilot: Pilot[Any]) -> CredentialsScreen:
    await until(pilot, lambda: isinstance(pilot.app.screen, CredentialsScreen))
    await until(pilot, lambda: "Hugging Face token: " in said(pilot.app))
    screen = pilot.app.screen
    assert isinstance(screen, CredentialsScreen)
    return screen


async def test_lambda_without_a_key_leads_to_the_key(services: FakeServices) -> None:
    """Tried on entry; without a keyring it asks where to keep it; then the way to the machines is open."""
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("2")
        await opened(pilot)
        assert "Lambda API key: none" in said(app)
        await pilot.press(*KEY)
        assert "canary" not in said(app)
        await pilot.press("enter")
        await until(pilot, lambda: "valid; 0 machines running; 11 types" in said(app))
        assert "no keyring that can be trusted" in said(app)
        assert services.tried == [("lambda", KEY)]
        await pilot.press("enter")
        await until(pilot, lambda: "used until the app ends" in said(app))
        assert "canary" not in said(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen))


async def test_a_file_only_when_it_is_chosen(services: FakeServices) -> None:
    """The second choice; ctrl+d forgets it again."""
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("k")
        await opened(pilot)
        await pilot.press("tab", *"hf_some_token", "enter")
        await until(pilot, lambda: "where may it be kept?" in said(app))
        assert not credentials.own_file("hf").exists()
        await pilot.press("tab", "enter")
        await until(pilot, lambda: "Hugging Face token: in a file" in said(app))
        assert credentials.own_file("hf").stat().st_mode & 0o777 == 0o600
        await pilot.press("ctrl+d")
        await until(pilot, lambda: "forgotten: file" in said(app) and "Hugging Face token: none" in said(app))


async def test_a_wrong_one_is_not_kept(services: FakeServices) -> None:
    """What is wrong, and what to do; what was typed stays in the field."""
    services.credential_error = CredentialRejected(
        "Lambda Cloud does not accept the key", "make another and give it: llama-tui login lambda"
    )
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("k")
        screen = await opened(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "type it, or paste it, first" in said(app))
        await pilot.press(*KEY, "enter")
        await until(pilot, lambda: "does not accept the key" in said(app) and "make another" in said(app))
        assert "llama-tui login" not in said(app)  # one is there already
        assert credentials.look("lambda") is None
        assert screen.query_one("#lambda").value == KEY  # type: ignore[attr-defined]


async def test_what_the_environment_has_is_said(services: FakeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used first, and nothing of it is shown."""
    monkeypatch.setenv("HF_TOKEN", "hf_canary_of_env")
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("k")
        await opened(pilot)
        await until(pilot, lambda: "in the environment, HF_TOKEN" in said(app))
        assert "canary" not in said(app)


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
def test_looks(snap_compare: Any, services: FakeServices, size: tuple[int, int]) -> None:
    async def wait(pilot: Pilot[None]) -> None:
        await pilot.press("k")
        screen = await opened(pilot)
        await pilot.press(*KEY, "enter")
        await until(pilot, lambda: "where may it be kept?" in said(pilot.app))
        screen.query_one("#session").focus()
        await pilot.pause()

    assert snap_compare(LlamaTuiApp(services), terminal_size=size, run_before=wait)
