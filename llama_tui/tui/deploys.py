"""Jobs that outlive the screen that started them: what a deploy, or a termination, has told so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from llama_tui.core.errors import LlamaTuiError
from llama_tui.core.events import Event, Output, Progress, Said
from llama_tui.core.money import Receipt
from llama_tui.core.plan import Plan
from llama_tui.endpoints import Endpoint
from llama_tui.redact import clean

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

    def record(self, event: Event) -> None:
        """Keep an event; of a row of progress reports only the last is worth keeping."""
        if isinstance(event, Output):
            return
        if isinstance(event, Progress) and self.events and isinstance(self.events[-1], Progress):
            self.events[-1] = event
            return
        self.events.append(event)
        del self.events[:-EVENTS_KEPT]

    @property
    def said(self) -> str:
        """The last sentence that it told; empty before the first."""
        return next((event.text for event in reversed(self.events) if isinstance(event, Said)), "")


def as_told(error: Exception) -> LlamaTuiError:
    """Any exception as one with a sentence for the reader: what nobody foresaw is named, not thrown at them."""
    if isinstance(error, LlamaTuiError):
        return error
    return LlamaTuiError(
        f"something unforeseen happened: {type(error).__name__}: {clean(str(error))[:300]}",
        "this is a mistake in llama-tui: please report it; try again",
    )
