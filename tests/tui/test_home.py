"""Home: four ways in, what there is, and what runs unasked. It opens in any state."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from textual.pilot import Pilot

from llama_tui.core.errors import CloudRefused, LlamaTuiError
from llama_tui.core.instances import Instance
from llama_tui.core.plan import Choices
from llama_tui.endpoints import Endpoint
from llama_tui.tui.app import LlamaTuiApp
from tests.tui.fakes import FakeServices, said, until

STRANGER = Instance("i-9", "jupyter", "active", "gpu_8x_h100_sxm5", "us-south-1", 2392)


async def deployed(services: FakeServices, model: str = "smollm2-135m", cloud: str = "practice") -> Endpoint:
    return await services.deploy(await services.plan(Choices(model=model, cloud=cloud)), lambda _: None)


async def test_opens_with_nothing_configured(services: FakeServices) -> None:
    """No endpoint, no key, no network: four ways in, and what is still to be given."""
    async with LlamaTuiApp(services).run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "needs your API key: choose this to enter it" in said(pilot.app))
        text = said(pilot.app)
        for way in ("Practice", "Lambda Cloud", "My own machine", "An endpoint URL"):
            assert way in text
        assert "none yet" in text


async def test_a_cloud_that_is_down_is_a_line_and_not_an_empty_list(services: FakeServices) -> None:
    """A failure never looks like "nothing runs"."""
    services.accounts = ["lambda"]
    services.account_error = CloudRefused("Lambda does not answer", "see status.lambda.ai")
    async with LlamaTuiApp(services).run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "Lambda does not answer" in said(pilot.app))
        assert "see status.lambda.ai" in said(pilot.app)
        assert "nothing else runs" not in said(pilot.app)


async def test_a_broken_record_is_a_line(services: FakeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that cannot be read does not keep the app from opening."""

    def broken() -> list[Endpoint]:
        raise LlamaTuiError("the record cannot be read", "move the file away")

    monkeypatch.setattr(services.endpoints, "live", broken)
    async with LlamaTuiApp(services).run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "the record cannot be read" in said(pilot.app))
        assert "move the file away" in said(pilot.app)


async def test_what_runs_unasked_is_shown_with_its_price(services: FakeServices) -> None:
    """A machine that no endpoint here knows costs money: its id, type and price per hour are said."""
    services.accounts = ["lambda"]
    services.machines = [STRANGER]
    async with LlamaTuiApp(services).run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "i-9" in said(pilot.app))
        assert "not started by llama-tui on this computer" in said(pilot.app)
        assert "$23.92/h" in said(pilot.app)


async def test_our_own_machines_are_no_strangers(services: FakeServices) -> None:
    """The account lists our machine too; it is shown once, as an endpoint."""
    endpoint = await deployed(services, cloud="lambda")
    assert endpoint.instance
    services.accounts = ["lambda"]
    services.machines = [endpoint.instance]
    async with LlamaTuiApp(services).run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "nothing else runs in the account" in said(pilot.app))
        assert "not started by" not in said(pilot.app)


async def test_terminate_asks_ends_and_shows_the_receipt(services: FakeServices) -> None:
    """X asks; Enter alone says no; y ends it, and the receipt comes when it is gone."""
    await deployed(services)
    async with LlamaTuiApp(services).run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "● ready" in said(pilot.app))
        await pilot.press("x")
        await until(pilot, lambda: "Terminate smollm2-135m?" in said(pilot.app))
        await pilot.press("enter")
        await until(pilot, lambda: "Terminate smollm2-135m?" not in said(pilot.app))
        assert services.terminated == []
        await pilot.press("x")
        await until(pilot, lambda: "Terminate smollm2-135m?" in said(pilot.app))
        await pilot.press("y")
        await until(pilot, lambda: "smollm2-135m is gone" in said(pilot.app))
        assert "nothing; on Lambda about $0.00" in said(pilot.app)
        await pilot.press("escape")
        await until(pilot, lambda: "none yet" in said(pilot.app))


async def test_a_termination_that_cannot_be_proven_says_so(services: FakeServices) -> None:
    """The endpoint stays in the list, with the error and what to do."""
    await deployed(services)
    services.terminate_error = LlamaTuiError("i-1 may still run", "try again")
    async with LlamaTuiApp(services).run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "● ready" in said(pilot.app))
        await pilot.press("x", "y")
        await until(pilot, lambda: "i-1 may still run" in said(pilot.app))
        assert "ending" in said(pilot.app)


@pytest.mark.parametrize("evil", ["[/]", "[@click=app.quit]x[/]", "a\x1b]52;c;aGk=\x07b", "\x9b31mred"])
async def test_hostile_text_is_only_text(services: FakeServices, evil: str) -> None:
    """Names and errors from outside are neither markup nor escape sequences."""
    services.endpoints.adopt(
        Endpoint(id="e1", name="evil", cloud="url", host="", state="ready", created=datetime.now(UTC),
                 base_url=f"http://{evil}", model=evil)
    )  # fmt: skip
    services.accounts = ["lambda", evil]
    services.account_error = CloudRefused(evil, evil)
    async with LlamaTuiApp(services).run_test(size=(120, 24), notifications=True) as pilot:
        await until(pilot, lambda: "evil" in said(pilot.app))
        pilot.app.tell_trouble(LlamaTuiError(evil, evil))  # type: ignore[attr-defined]
        await pilot.press("x")
        await until(pilot, lambda: "Forget evil?" in said(pilot.app))
        assert "\x1b" not in said(pilot.app)
        assert "\x9b" not in said(pilot.app)


async def test_one_can_adopt_a_server_by_its_url(services: FakeServices) -> None:
    """4, the URL, Enter; a refusal keeps what was typed."""
    services.attach_error = LlamaTuiError("nothing answers at that address", "look at it")
    async with LlamaTuiApp(services).run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("4", *"nonsense", "enter")
        await until(pilot, lambda: "that is not a URL" in said(pilot.app))
        assert services.attached == []
        await pilot.press(*["backspace"] * 8, *"http://127.0.0.1:8000/v1", "enter")
        await until(pilot, lambda: "nothing answers at that address" in said(pilot.app))
        assert services.attached == [("http://127.0.0.1:8000", "127-0-0-1-8000")]
        await pilot.press("escape")
        await until(pilot, lambda: "A new endpoint" in said(pilot.app))


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
def test_looks_empty(snap_compare: Any, services: FakeServices, size: tuple[int, int]) -> None:
    async def wait(pilot: Pilot[None]) -> None:
        await until(
            pilot, lambda: all(word in said(pilot.app) for word in ("needs your API key", "none yet", "Refresh"))
        )

    assert snap_compare(LlamaTuiApp(services), terminal_size=size, run_before=wait)


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
def test_looks_with_endpoints(snap_compare: Any, services: FakeServices, size: tuple[int, int]) -> None:
    services.accounts = ["lambda"]
    services.machines = [STRANGER]
    asyncio.run(deployed(services))  # before the app: what Home focuses depends on what there is when it looks
    asyncio.run(deployed(services, "llama-3.1-8b-instruct", "lambda"))

    async def wait(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "llama-3-1-8b" in said(pilot.app) and "i-9" in said(pilot.app))

    assert snap_compare(LlamaTuiApp(services), terminal_size=size, run_before=wait)
