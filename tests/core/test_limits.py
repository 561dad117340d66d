"""Limits are judged from the accepted launch, exactly; what is not known ends nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from llama_tui.core.limits import Standing, beside, first_over, in_words, standings
from llama_tui.core.money import cost_usd
from llama_tui.core.plan import Limits

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def over(limits: Limits, seconds: float, *, price: int = 429, idle: float | None = None) -> str:
    """The kind of the limit that is over so many seconds after the launch; empty: none."""
    now = START + timedelta(seconds=seconds)
    found = first_over(standings(limits, launched=START, now=now, price_cents_per_hour=price, idle_seconds=idle))
    return found.kind if found else ""


@pytest.mark.parametrize(("usd", "price"), [(5.0, 429), (0.1, 20), (0.001, 8), (100.0, 3192), (4.29, 429)])
def test_dollars_are_over_in_the_begun_minute_that_reaches_them(usd: float, price: int) -> None:
    """To the second: what the receipt would say is below the limit before, and at or above it after."""
    limits = Limits(usd=usd)
    (at_first,) = standings(limits, launched=START, now=START, price_cents_per_hour=price)
    assert at_first.seconds_left is not None
    end = START + timedelta(seconds=at_first.seconds_left)
    assert cost_usd(price, START, end) < usd
    assert cost_usd(price, START, end + timedelta(seconds=1)) >= usd - 1e-9
    assert over(limits, at_first.seconds_left + 1, price=price) == "dollars"
    assert over(limits, at_first.seconds_left - 1, price=price) == ""


def test_hours_are_over_when_they_have_passed() -> None:
    assert over(Limits(hours=1.5), 5399) == ""
    assert over(Limits(hours=1.5), 5400) == "hours"


def test_idle_minutes_are_those_without_a_request() -> None:
    """However long the machine runs; and where nobody knows of requests, the limit ends nothing."""
    assert over(Limits(idle_minutes=30), 7200, idle=1799) == ""
    assert over(Limits(idle_minutes=30), 7200, idle=1800) == "idle"
    assert over(Limits(idle_minutes=30), 10**9, idle=None) == ""


def test_before_the_launch_nothing_is_over() -> None:
    found = standings(
        Limits(0.001, 0.0001, 1), launched=None, now=START, price_cents_per_hour=429, idle_seconds=10**9
    )
    assert [one.seconds_left for one in found] == [None, None, None]
    assert first_over(found) is None


def test_what_costs_nothing_never_reaches_its_dollars() -> None:
    assert over(Limits(usd=1), 10**9, price=0) == ""


def test_the_words_of_a_limit() -> None:
    assert in_words(Limits(5, 3, 30)) == "$5.00, 3 h, 30 min idle"
    assert in_words(Limits()) == ""
    assert Standing("dollars", "$5.00", -1.0).why == "its limit of $5.00 was reached"


def test_beside_a_limit_stands_whether_it_holds_with_the_laptop_off_and_why() -> None:
    """It does not: nothing on the machine can end the bill."""
    assert "with the laptop off the machine goes on costing" in beside(Limits(usd=5))
    assert "its key is never on the machine" in beside(Limits(usd=5))
    assert "request counters" in beside(Limits(idle_minutes=5)) and "request counters" not in beside(Limits(hours=5))
    assert beside(Limits()) == ""
