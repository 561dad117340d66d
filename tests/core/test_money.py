"""Money is counted in begun minutes from the accepted launch."""

from datetime import UTC, datetime, timedelta

from llama_tui.core.money import cost_usd, dollars, minutes_between, per_hour

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def test_a_begun_minute_counts() -> None:
    """61 seconds are two minutes; nothing is ever negative."""
    assert minutes_between(START, START + timedelta(seconds=61)) == 2
    assert minutes_between(START, START) == 0
    assert minutes_between(START, START - timedelta(seconds=5)) == 0


def test_cost_of_half_an_hour() -> None:
    """Half an hour at $4.29/h is $2.145, shown as dollars and cents."""
    cost = cost_usd(429, START, START + timedelta(minutes=30))
    assert round(cost, 3) == 2.145
    assert dollars(1234.5) == "$1,234.50"
    assert per_hour(0) == "free"
