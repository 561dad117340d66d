"""Limits of money and time: where each one stands, and whether it holds with the laptop off.

A rented machine is billed until the cloud's API has ended it (lambda-cloud-api.md §4.4), and no key of that API is
ever on the machine: a limit ends the bill only while a llama-tui runs on the computer that has the key. Nothing on
the machine watches the limits: it could only stop the server, and the bill would go on for one that answers nobody.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from llama_tui.core.errors import UsageError
from llama_tui.core.money import dollars

if TYPE_CHECKING:
    from llama_tui.core.plan import Limits

Kind = Literal["dollars", "hours", "idle"]

HOLDS = "holds while llama-tui runs here; with the laptop off the machine goes on costing: `llama-tui reap` from cron"
"""What stands beside every limit."""
WHY = "only the cloud's API ends the bill, and its key is never on the machine"
"""Why a limit does not hold with the laptop off."""
OPTIONS = "--cap, --max or --idle"
"""How limits are set on the command line."""
NONE = "none: it runs, and costs, until you end it"
"""What stands where there is no limit."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one limit stands."""

    kind: Kind
    limit: str
    """As it was set: `$5.00`, `3 h`, `30 min idle`."""
    seconds_left: float | None
    """0 or less: it is over. None: not known, or nothing is billed yet; that ends nothing."""
    unknown: str = ""
    """Why it is not known, where it could be."""

    @property
    def over(self) -> bool:
        """It is reached: the endpoint is to end."""
        return self.seconds_left is not None and self.seconds_left <= 0

    @property
    def why(self) -> str:
        """As a receipt says it."""
        return f"its limit of {self.limit} was reached"


def standings(
    limits: Limits,
    *,
    launched: datetime | None,
    now: datetime,
    price_cents_per_hour: int,
    idle_seconds: float | None = None,
) -> tuple[Standing, ...]:
    """Every limit that is set, with the seconds that are left of it.

    `launched`: when the launch was accepted; None: it was not. `idle_seconds`: how long the server has had no
    request; None: not known. Dollars are those of begun minutes, as `money.cost_usd` counts them.
    """
    elapsed = (now - launched).total_seconds() if launched else None
    found = []
    for kind, words in _words(limits):
        allowed = _allowed_seconds(kind, limits, price_cents_per_hour)
        gone = idle_seconds if kind == "idle" else elapsed
        left = allowed - gone if allowed is not None and gone is not None and launched else None
        found.append(Standing(kind, words, left))
    return tuple(found)


def _words(limits: Limits) -> list[tuple[Kind, str]]:
    found: list[tuple[Kind, str]] = []
    if limits.usd is not None:
        found.append(("dollars", dollars(limits.usd)))
    if limits.hours is not None:
        found.append(("hours", f"{limits.hours:g} h"))
    if limits.idle_minutes is not None:
        found.append(("idle", f"{limits.idle_minutes} min idle"))
    return found


def _allowed_seconds(kind: Kind, limits: Limits, price_cents_per_hour: int) -> float | None:
    match kind:
        case "dollars":
            if limits.usd is None or not price_cents_per_hour:
                return None
            # A minute costs as soon as it has begun; rounded, as 0.1 dollars are not exactly ten cents.
            minutes = math.ceil(round(limits.usd * 6000 / price_cents_per_hour, 6))
            return 60.0 * (minutes - 1)
        case "hours":
            return None if limits.hours is None else 3600.0 * limits.hours
        case "idle":
            return None if limits.idle_minutes is None else 60.0 * limits.idle_minutes


def first_over(found: tuple[Standing, ...]) -> Standing | None:
    """The limit that ends the endpoint, if one is over."""
    return next((one for one in found if one.over), None)


def in_words(limits: Limits) -> str:
    """`$5.00, 3 h, 30 min idle`; empty where there is none."""
    return ", ".join(words for _, words in _words(limits))


def beside(limits: Limits) -> str:
    """Whether these limits hold with the laptop off, and why; empty where there is none."""
    if not _words(limits):
        return ""
    idle = "; idle is what the server's own request counters say" if limits.idle_minutes is not None else ""
    return f"{HOLDS} ({WHY}){idle}"


def merged(earlier: Limits, given: Limits) -> Limits:
    """The limits that were given, and of each other kind the earlier one."""
    return replace(earlier, **{kind: value for kind, value in asdict(given).items() if value is not None})


def check(limits: Limits, cloud: str, *, rents: bool) -> None:
    """Raises UsageError where nothing is rented that a limit could end."""
    if _words(limits) and not rents:
        raise UsageError(
            f"limits are for rented machines: on {cloud} nothing is billed", "leave --cap, --max and --idle out"
        )
