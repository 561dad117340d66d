"""What runs and what it costs, in two lines on top of every screen."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from llama_tui.core.money import dollars, per_hour
from llama_tui.redact import clean

if TYPE_CHECKING:
    from llama_tui.core.plan import Plan
    from llama_tui.endpoints import Endpoint, State

TICK_SECONDS = 1.0
"""Between two looks at the clock."""

STATES: dict[State, tuple[str, str, str]] = {
    "launching": ("◌", "launching", "$text-warning"),
    "booting": ("◌", "booting", "$text-warning"),
    "setup": ("◌", "setting up", "$text-warning"),
    "ready": ("●", "ready", "$text-success"),
    "failed": ("✕", "failed", "$text-error"),
    "ending": ("◌", "ending", "$text-warning"),
    "ended": ("○", "ended", "$foreground-muted"),
}
"""State → sign, word, colour."""

Part = tuple[str, str]
"""Text and its style."""

GAP: Part = ("  ", "")


def now() -> datetime:
    """The time by which money is counted."""
    return datetime.now(UTC)


def one_line(text: str) -> str:
    """Text from outside on one line, clean."""
    return " ".join(clean(text).split())


class StatusHeader(Widget):
    """The endpoint of a screen, or, without one, the sum of all live endpoints.

    Args:
        endpoint: whose facts it shows; None for the sum of `live`.
    """

    DEFAULT_CSS = """
    StatusHeader {
        dock: top;
        width: 100%;
        height: 2;
        padding: 0 1;
        background: $panel;
        color: $foreground;
    }
    """

    endpoint: reactive[Endpoint | None] = reactive(None)
    live: reactive[tuple[Endpoint, ...]] = reactive(())
    """All live endpoints; only looked at without `endpoint`."""

    def __init__(self, endpoint: Endpoint | None = None, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.set_reactive(StatusHeader.endpoint, endpoint)

    def on_mount(self) -> None:
        """Count on once a second."""
        self.set_interval(TICK_SECONDS, self.refresh)

    def render(self) -> Content:
        """Two lines, cut to the width: what is on the right stays whole."""
        width = self.content_size.width
        lines = _of_endpoint(self.endpoint, now()) if self.endpoint else _of_all(self.live, now())
        return Content("\n").join(_line(left, right, width) for left, right in lines)


def _of_endpoint(endpoint: Endpoint, at: datetime) -> tuple[tuple[list[Part], list[Part]], ...]:
    sign, word, colour = STATES[endpoint.state]
    first = [
        ("llama-tui", "bold $text-primary"),
        GAP,
        (one_line(endpoint.name), "bold"),
        GAP,
        (f"{sign} {word}", f"bold {colour}"),
    ]
    second: list[Part] = []
    for fact in (*_idle(endpoint, at), *_machine(endpoint), *_port(endpoint)):
        second += [(" · ", "$foreground-muted"), (fact, "$foreground-muted")] if second else [(fact, "")]
    return (first, _money(endpoint, at)), (second, [_lid(endpoint)])


def _machine(endpoint: Endpoint) -> Iterable[str]:
    """Facts of where it runs, the most telling first."""
    if endpoint.cloud == "url":
        yield one_line(endpoint.base_url)
        return
    if endpoint.cloud == "local":
        yield "this computer"
    elif endpoint.cloud == "ssh":
        yield one_line(endpoint.host)
    elif endpoint.instance:
        yield one_line(endpoint.instance.instance_type)
        yield one_line(endpoint.instance.region)
    elif endpoint.plan:
        yield endpoint.plan.instance_type.name
        yield endpoint.plan.region or "any region"


def _idle(endpoint: Endpoint, at: datetime) -> Iterable[str]:
    """How long nobody has asked it anything, where it is to end after so long; the app looks every minute."""
    allowed = endpoint.plan.limits.idle_minutes if endpoint.plan else None
    if allowed and endpoint.idle_since and endpoint.state == "ready":
        yield f"idle {max(0, int((at - endpoint.idle_since).total_seconds() // 60))} of {allowed} min"


def _port(endpoint: Endpoint) -> Iterable[str]:
    """Where other programs on this computer reach it."""
    if endpoint.local_port and endpoint.state == "ready" and endpoint.cloud != "url":
        yield f"local port {endpoint.local_port}"


def _money(endpoint: Endpoint, at: datetime) -> list[Part]:
    price = endpoint.price_cents_per_hour
    limit = endpoint.plan.limits.usd if endpoint.plan else None
    if not price and (plan := _launching(endpoint)):
        return [(f"{per_hour(plan.instance_type.price_cents_per_hour)} from the launch on", "$text-warning")]
    if not price:
        return [("costs nothing", "$foreground-muted")]
    spent = endpoint.spent_usd(at)
    over = limit is not None and spent >= limit
    cap = f" of {dollars(limit)}" if limit is not None else ""
    return [
        (per_hour(price), "bold"),
        GAP,
        (f"spent {dollars(spent)}{cap}" + (" — over" if over else ""), "bold $text-error" if over else ""),
    ]


def price(endpoint: Endpoint) -> str:
    """What it costs an hour; what it will cost, while its machine is asked for."""
    plan = None if endpoint.price_cents_per_hour else _launching(endpoint)
    return (
        f"will be {per_hour(plan.instance_type.price_cents_per_hour)}"
        if plan
        else per_hour(endpoint.price_cents_per_hour)
    )


def _launching(endpoint: Endpoint) -> Plan | None:
    """The plan of an endpoint whose machine is asked for and has not been had yet."""
    plan = endpoint.plan
    return plan if endpoint.state == "launching" and plan and plan.rents else None


def _lid(endpoint: Endpoint) -> Part:
    """What happens when the laptop is shut."""
    if endpoint.cloud == "practice":
        return ("PRACTICE, NOTHING IS RENTED", "bold $text-warning")
    if endpoint.cloud == "local":
        return ("lid shut: it sleeps too", "$foreground-muted")
    if endpoint.price_cents_per_hour:
        return ("lid shut: the machine stays up and costs", "$text-warning")
    if _launching(endpoint):
        return ("a launch is on its way", "$text-warning")
    return ("nothing is rented", "$foreground-muted")


def _of_all(live: tuple[Endpoint, ...], at: datetime) -> tuple[tuple[list[Part], list[Part]], ...]:
    rented = [one for one in live if one.price_cents_per_hour and one.cloud != "practice"]
    count = f"{len(live)} endpoint{'' if len(live) == 1 else 's'}" if live else "no endpoint yet"
    first = [("llama-tui", "bold $text-primary"), GAP, (f"{'●' if live else '○'} {count}", "")]
    if not rented and any(_launching(one) and one.cloud != "practice" for one in live):
        return (first, [("costs nothing yet", "")]), ([], [("a launch is on its way", "$text-warning")])
    if not rented:
        note = "PRACTICE, NOTHING IS RENTED" if any(one.cloud == "practice" for one in live) else "nothing is rented"
        return (first, [("costs nothing", "$foreground-muted")]), ([], [(note, "$foreground-muted")])
    price = sum(one.price_cents_per_hour for one in rented)
    spent = sum(one.spent_usd(at) for one in rented)
    machines = f"{len(rented)} rented machine{'' if len(rented) == 1 else 's'}"
    money = [(per_hour(price), "bold"), GAP, (f"spent {dollars(spent)}", "")]
    return (first, money), ([(machines, "")], [("lid shut: what is rented stays up and costs", "$text-warning")])


def _line(left: list[Part], right: list[Part], width: int) -> Content:
    """Left and right at the two edges; where they do not fit, the left one is cut."""
    tail = Content.assemble(*right)
    room = max(0, width - cell_len(tail.plain) - 2)
    head = Content.assemble(*left).truncate(room, ellipsis=True)
    gap = max(0, width - cell_len(head.plain) - cell_len(tail.plain))
    return Content.assemble(head, " " * gap, tail).truncate(width, ellipsis=True)
