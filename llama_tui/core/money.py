"""What a machine costs: cents per hour, billed by the minute (lambda-cloud-api.md §4.4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """What remains of an endpoint: when, how long, about how much, and why it ended."""

    name: str
    cloud: str
    instance_type: str
    region: str
    started: datetime
    ended: datetime
    minutes: int
    """Begun minutes, counted from the accepted launch: an upper estimate, the cloud bills from its health check."""
    usd: float
    why: str


def minutes_between(started: datetime, ended: datetime) -> int:
    """Begun minutes between two moments, at least 0."""
    return max(0, math.ceil((ended - started).total_seconds() / 60))


def cost_usd(price_cents_per_hour: int, started: datetime, ended: datetime) -> float:
    """Dollars for the begun minutes between two moments."""
    return price_cents_per_hour * minutes_between(started, ended) / 6000


def dollars(usd: float) -> str:
    """`$1.99`; cents are kept, fractions of a cent are not."""
    return f"${usd:,.2f}"


def per_hour(price_cents_per_hour: int) -> str:
    """`$1.99/h`, or `free` for a machine that nobody rents."""
    return f"{dollars(price_cents_per_hour / 100)}/h" if price_cents_per_hour else "free"
