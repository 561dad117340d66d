"""While the app is open it keeps the limits of what was launched from this computer."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from llama_tui.core.errors import LlamaTuiError, StillThere
from llama_tui.core.plan import Choices, Limits
from llama_tui.endpoints import Endpoint
from llama_tui.tui import app as tui_app
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.limits import LimitWatch
from llama_tui.tui.screens.questions import before_launch
from llama_tui.tui.screens.receipt import ReceiptScreen
from llama_tui.tui.widgets.status_header import now
from tests.tui.fakes import FakeServices, said, until
from tests.tui.given import an_endpoint


async def limited(services: FakeServices, limits: Limits, **fields: object) -> Endpoint:
    """An endpoint on Lambda with these limits."""
    endpoint = await an_endpoint(services, "demo", "lambda", **fields)
    assert endpoint.plan
    return services.endpoints.change(endpoint.id, plan=replace(endpoint.plan, limits=limits))


async def test_what_is_over_its_limit_is_ended(services: FakeServices) -> None:
    """Said when it begins, a receipt that names the limit when it is proven; another look does not begin it twice."""
    endpoint = await limited(services, Limits(hours=3))
    assert endpoint.launched
    services.go.clear()
    app = LlamaTuiApp(services)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        watch = LimitWatch(app)
        await watch.look(endpoint.launched + timedelta(hours=2.9))
        assert services.terminated == []
        at = endpoint.launched + timedelta(hours=3)
        await watch.look(at)
        await until(pilot, lambda: "demo: its limit of 3 h was reached" in said(app))
        await until(pilot, lambda: services.terminated == ["demo"])
        await watch.look(at)
        await pilot.pause()
        assert len(app._notifications) == 1
        services.go.set()
        await until(pilot, lambda: isinstance(app.screen, ReceiptScreen))
        assert "its limit of 3 h was reached" in said(app)
    assert services.terminated == ["demo"]
    assert [one.why for one in services.endpoints.receipts()] == ["its limit of 3 h was reached"]


async def test_what_could_not_be_proven_gone_is_tried_again(services: FakeServices) -> None:
    endpoint = await limited(services, Limits(hours=1))
    assert endpoint.launched
    services.terminate_error = StillThere("i-demo may still run at $0.75/h", "try again")
    app = LlamaTuiApp(services)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        watch = LimitWatch(app)
        for times in (1, 2):
            await watch.look(endpoint.launched + timedelta(hours=times))
            await until(pilot, lambda: not app.endings["demo"].running)
        await until(pilot, lambda: "may still run at $0.75/h" in said(app))
    assert services.terminated == ["demo", "demo"]


async def test_a_warning_comes_once_and_says_how_to_get_more(services: FakeServices) -> None:
    """Five minutes before dollars or hours are reached; a new limit is warned of anew."""
    endpoint = await limited(services, Limits(hours=1))
    assert endpoint.launched and endpoint.plan
    app = LlamaTuiApp(services)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        watch = LimitWatch(app)
        await watch.look(endpoint.launched + timedelta(minutes=54))
        assert not app._notifications
        await watch.look(endpoint.launched + timedelta(minutes=55))
        await until(pilot, lambda: "demo: 5 min until its limit of 1 h" in said(app))
        assert "llama-tui up --cloud lambda --name demo --max HOURS" in said(app)
        await watch.look(endpoint.launched + timedelta(minutes=56))
        await pilot.pause()
        assert len(app._notifications) == 1
        services.endpoints.change(endpoint.id, plan=replace(endpoint.plan, limits=Limits(hours=2)))
        await watch.look(endpoint.launched + timedelta(minutes=116))
        await until(pilot, lambda: "demo: 4 min until its limit of 2 h" in said(app))
    assert services.terminated == []


async def test_idleness_that_is_not_known_is_said_once_and_ends_nothing(services: FakeServices) -> None:
    """The fake's server does not answer."""
    endpoint = await limited(services, Limits(idle_minutes=1))
    assert endpoint.launched
    app = LlamaTuiApp(services)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        watch = LimitWatch(app)
        for days in (1, 2):
            await watch.look(endpoint.launched + timedelta(days=days))
        await until(pilot, lambda: "how long it is idle is not known" in said(app))
        await pilot.pause()
        assert len(app._notifications) == 1
    assert services.terminated == []


async def test_what_this_computer_did_not_launch_is_left_alone(services: FakeServices) -> None:
    """Adopted with its limits from another computer."""
    plan = await services.plan(Choices("llama-3.1-8b", "lambda", name="theirs", limits=Limits(usd=1)))
    at = (await an_endpoint(services)).created
    services.endpoints.adopt(Endpoint("a1", "theirs", "lambda", "", "ready", at, plan, launched=at, port=8000))
    app = LlamaTuiApp(services)
    async with app.run_test(notifications=True):
        await LimitWatch(app).look(at + timedelta(days=9))
        assert not app._notifications
    assert services.terminated == []


async def test_a_record_that_cannot_be_read_is_said(services: FakeServices) -> None:
    """Limits that are not kept are not kept silently."""
    app = LlamaTuiApp(services)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        watch = LimitWatch(app)

        def broken() -> list[Endpoint]:
            raise LlamaTuiError("the record of endpoints cannot be read", "move it away")

        services.endpoints.live = broken  # type: ignore[method-assign]
        for _ in range(2):
            await watch.look(now())
        await until(pilot, lambda: "the record of endpoints cannot be read" in said(app))
        await pilot.pause()
        assert len(app._notifications) == 1


async def test_the_app_looks_by_itself(services: FakeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a minute; in this test more often."""
    await limited(services, Limits(usd=0.01))
    monkeypatch.setattr(tui_app, "LIMITS_SECONDS", 0.05)
    app = LlamaTuiApp(services)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ReceiptScreen))
    assert services.terminated == ["demo"]


async def test_the_question_before_a_launch_says_whether_limits_hold(services: FakeServices) -> None:
    plan = await services.plan(Choices("llama-3.1-8b", "lambda", limits=Limits(usd=5)))
    _, rows, _ = before_launch(plan)
    assert "with the laptop off the machine goes on costing" in dict(rows)["limits"]


async def test_quitting_says_what_becomes_of_the_limits(services: FakeServices) -> None:
    """Without the app they hold only by `reap`."""
    await limited(services, Limits(usd=50))
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "limits hold only by `llama-tui reap` from cron" in said(app))
