"""Messages that cross from a job to the screens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from llama_tui.core.errors import LlamaTuiError
    from llama_tui.core.events import Event
    from llama_tui.core.money import Receipt
    from llama_tui.endpoints import Endpoint


@dataclass
class JobEvent(Message):
    """A job of the endpoint of that name told something. Log lines are not: the log views read files."""

    name: str
    event: Event


@dataclass
class JobEnded(Message):
    """A job of the endpoint of that name is over: with an endpoint (deployed), a receipt (terminated) or an error."""

    name: str
    endpoint: Endpoint | None = None
    receipt: Receipt | None = None
    error: LlamaTuiError | None = None
