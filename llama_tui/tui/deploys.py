"""Jobs that outlive the screen that started them: what a deploy, or a termination, has told so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from llama_tui.core.errors import LlamaTuiError
from llama_tui.core.events import Event, Output, Progress, Said
from llama_tui.core.money import Receipt
from llama_tui.core.plan import Plan
from llama_tui.endpoints import Endpoint, Endpoints
from llama_tui.jobs.rent import may_have_launched

EVENTS_KEPT = 1000
"""Events of one job that are kept for a screen that opens later; the oldest go first."""


@dataclass
class Deploy:
    """One job for one endpoint, as far as it has come.

    `running` False with neither endpoint, receipt nor error: it was stopped here.
    """

    name: str
    plan: Plan | None = None
    events: list[Event] = field(default_factory=list)
    """Without log lines."""
    waits: bool = False
    """For a machine to be had, if there is none at once; the waiting ends with this app."""
    running: bool = True
    endpoint: Endpoint | None = None
    """Set when the deploy has succeeded."""
    receipt: Receipt | None = None
    """Set when the termination has succeeded."""
    error: LlamaTuiError | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def record(self, event: Event) -> bool:
        """Keep an event, and say whether a screen wants it: log lines are read from their file instead.

        Of a row of progress reports only the last is kept.
        """
        if isinstance(event, Output):
            return False
        if isinstance(event, Progress) and self.events and isinstance(self.events[-1], Progress):
            self.events[-1] = event
            return True
        self.events.append(event)
        del self.events[:-EVENTS_KEPT]
        return True

    @property
    def said(self) -> str:
        """The last sentence that it told; empty before the first."""
        return next((event.text for event in reversed(self.events) if isinstance(event, Said)), "")


def look_up(name: str, endpoints: Endpoints, deploys: Mapping[str, Deploy]) -> Endpoint | None:
    """The endpoint of that name, also one that has ended; while it waits for a machine it is being launched."""
    try:
        found = endpoints.find(name, ended=True)
    except LlamaTuiError:
        return None
    job = deploys.get(name)
    waits = job is not None and job.waits and job.running
    return replace(found, state="launching", failure="") if waits and found.state == "ended" else found


def all_live(endpoints: Endpoints, deploys: Mapping[str, Deploy]) -> list[Endpoint]:
    """The endpoints there are, and those that wait for a machine to be had. Raises LlamaTuiError."""
    live = endpoints.live()
    names = {one.name for one in live}
    others = [one.name for one in deploys.values() if one.waits and one.running and one.name not in names]
    return [*live, *(found for name in others if (found := look_up(name, endpoints, deploys)))]


def may_cost(endpoint: Endpoint, endpoints: Endpoints) -> bool:
    """It costs money, or a launch was asked for it and nobody knows what came of that."""
    rents = endpoint.plan is not None and endpoint.plan.rents
    return bool(endpoint.price_cents_per_hour) or (rents and may_have_launched(endpoint, endpoints))


def waiting(running: Iterable[Endpoint], deploys: Mapping[str, Deploy]) -> frozenset[str]:
    """The names of those that have no machine yet, and wait for one to be had."""
    waits = {one.name for one in deploys.values() if one.waits and one.running}
    return frozenset(one.name for one in running if one.name in waits and one.instance is None)
