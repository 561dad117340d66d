"""What a job can say. An event is for showing, a return value for using, an exception for failing.

All text in an event is already clean: no escape sequences, no secrets (`redact.clean`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llama_tui.core.instances import Instance


@dataclass(frozen=True, slots=True)
class Said:
    """One sentence of what the job does now."""

    text: str


@dataclass(frozen=True, slots=True)
class InstanceChanged:
    """The machine is in another state, or its address is known now."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step has begun on the machine."""

    id: str
    at: float
    """Seconds since the epoch, by the machine's clock."""


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step has ended on the machine; `exit_status` 0 is success."""

    id: str
    at: float
    exit_status: int


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """A step had succeeded in an earlier run and was not run again."""

    id: str


@dataclass(frozen=True, slots=True)
class Output:
    """Whole lines of a log, in order, each once. They come in bursts, so it is a tuple."""

    source: str
    """`setup` or `server`."""
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the server is on its way up, read from its log."""

    phase: str
    detail: str = ""
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of a model's answer."""

    text: str


Event = Said | InstanceChanged | StepStarted | StepFinished | StepSkipped | Output | Progress | TextDelta

Emit = Callable[[Event], None]
"""Hands an event over and returns: it never blocks and never raises."""
