"""The two lines on top of every screen: what runs, and what it costs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from textual.app import App, ComposeResult

from llama_tui.core.instances import Instance, InstanceType
from llama_tui.core.models import MODELS
from llama_tui.core.plan import Limits, Plan
from llama_tui.core.sizing import Fit
from llama_tui.endpoints import Endpoint
from llama_tui.tui.widgets import status_header
from llama_tui.tui.widgets.status_header import STATES, StatusHeader
from tests.tui.screen_text import screen_text

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
A10 = InstanceType("gpu_1x_a10", "1x A10 (24 GB PCIe)", 1, 22.0, 30, 200, 1400, 75, regions=("us-east-1",))
PLAN = Plan(
    name="llama-8b", cloud="lambda", host="", model=MODELS["llama-3.1-8b"], instance_type=A10, region="us-east-1",
    engine="vllm", profile="current", served_model_name="llama-3.1-8b", fit=Fit(True), port=0,
    limits=Limits(usd=10.0), on_failure="keep", rents=True, steps=(),
)  # fmt: skip
READY = Endpoint(
    id="0badcafe", name="llama-8b", cloud="lambda", host="", state="ready",
    created=NOW - timedelta(hours=2), plan=PLAN,
    instance=Instance("i1", "llama-tui-llama-8b-0badcafe", "active", "gpu_1x_a10", "us-east-1", 75, "192.0.2.1"),
    launched=NOW - timedelta(hours=2), port=8000, local_port=18000, model="llama-3.1-8b",
)  # fmt: skip


class OnlyHeader(App[None]):
    """A header and nothing else."""

    def __init__(self, header: StatusHeader) -> None:
        super().__init__()
        self.header = header

    def compose(self) -> ComposeResult:
        yield self.header


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Money is counted to a fixed moment."""
    monkeypatch.setattr(status_header, "now", lambda: NOW)


async def shown(header: StatusHeader, width: int = 80) -> list[str]:
    """The lines of the header on a terminal of that width."""
    app = OnlyHeader(header)
    async with app.run_test(size=(width, 5)) as pilot:
        await pilot.pause()
        return header.render().plain.split("\n")


async def test_says_state_machine_price_and_what_was_spent() -> None:
    """At 80 columns nothing that costs money is cut off."""
    first, second = await shown(StatusHeader(READY))
    assert "llama-8b  ● ready" in first
    assert first.endswith("$0.75/h  spent $1.50 of $10.00")
    assert second.startswith("gpu_1x_a10 · us-east-1 · local port")
    assert second.endswith("lid shut: the machine stays up and costs")
    assert len(first) <= 78 and len(second) <= 78


async def test_a_launch_on_its_way_is_not_called_free() -> None:
    """What was asked for may come and cost at any moment."""
    first, second = await shown(StatusHeader(replace(READY, state="launching", instance=None, launched=None)))
    assert first.endswith("$0.75/h from the launch on")
    assert second.endswith("a launch is on its way")


async def test_practice_says_that_nothing_is_rented() -> None:
    """A practice endpoint has a price to practise with: the header says that it is not real."""
    _, second = await shown(StatusHeader(replace(READY, cloud="practice")))
    assert second.endswith("PRACTICE, NOTHING IS RENTED")


async def test_more_than_the_limit_is_said_in_words() -> None:
    """Colour alone would not do."""
    first, _ = await shown(StatusHeader(replace(READY, launched=NOW - timedelta(hours=20))))
    assert first.endswith("spent $15.00 of $10.00 — over")


async def test_an_endpoint_that_ends_when_idle_says_how_long_it_has_been() -> None:
    """Before the machine, which may be cut off; without that limit nothing is said."""
    plan = replace(PLAN, limits=Limits(idle_minutes=30))
    idle = replace(READY, plan=plan, idle_since=NOW - timedelta(minutes=12, seconds=40))
    _, second = await shown(StatusHeader(idle))
    assert "idle 12 of 30 min" in second
    _, second = await shown(StatusHeader(replace(idle, plan=PLAN)))
    assert "idle" not in second


async def test_home_sums_what_is_rented() -> None:
    """Without an endpoint it sums the live ones; practice machines cost nothing."""
    header = StatusHeader()
    header.set_reactive(StatusHeader.live, (READY, replace(READY, id="2", cloud="practice"), replace(READY, id="3")))
    first, second = await shown(header)
    assert "3 endpoints" in first
    assert first.endswith("$1.50/h  spent $3.00")
    assert second.startswith("2 rented machines")


async def test_opens_with_nothing() -> None:
    """No endpoint at all is a calm header, not an empty one."""
    first, second = await shown(StatusHeader())
    assert "no endpoint yet" in first
    assert second.strip() == "nothing is rented"


@pytest.mark.parametrize("state", STATES)
async def test_every_state_has_a_sign_and_a_word(state: str) -> None:
    """Whatever the state, it is readable without colours."""
    sign, word, _ = STATES[state]  # type: ignore[index]
    first, _ = await shown(StatusHeader(replace(READY, state=state)))  # type: ignore[arg-type]
    assert f"{sign} {word}" in first


@pytest.mark.parametrize("width", [1, 10, 30, 80, 200])
async def test_any_width_and_any_name(width: int) -> None:
    """Names come from outside: no markup, no escape sequence, no line break, and never wider than the screen."""
    hostile = "[/] [@click=app.quit]x[/] \x1b]52;c;aGk=\x07\nsecond"
    lines = await shown(StatusHeader(replace(READY, cloud="ssh", host=hostile, name=hostile)), width)
    assert len(lines) == 2
    assert all(len(line) <= max(1, width - 2) for line in lines)
    assert "\x1b" not in "".join(lines)


async def test_follows_the_endpoint_it_is_given() -> None:
    """A changed endpoint shows at once."""
    header = StatusHeader(READY)
    app = OnlyHeader(header)
    async with app.run_test(size=(80, 5)) as pilot:
        header.endpoint = replace(READY, state="failed")
        await pilot.pause()
        assert "✕ failed" in screen_text(app)
