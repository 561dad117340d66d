"""Jobs that outlive the screen that started them: what a deploy, or a termination, has told so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from llama_tui.core.errors import LlamaTuiError
from llama_tui.core.events import Event, Output, Progress, Said
from llama_tui.core.money import Receipt
from llama_tui.core.plan import Plan
from llama_tui.endpoints import Endpoint

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
