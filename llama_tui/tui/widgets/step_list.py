"""The steps of a setup: what is done, what runs and how far it is, what is still to come."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.widgets import Static

from llama_tui.core.events import (
    Event,
    InstanceChanged,
    Output,
    Progress,
    Said,
    StepFinished,
    StepSkipped,
    StepStarted,
    TextDelta,
)
from llama_tui.core.plan import Step
from llama_tui.tui.widgets.status_header import one_line

TICK_SECONDS = 1.0
"""Between two looks at the clock."""
BAR = 16
"""Cells of a progress bar."""
TAIL = 18
"""Characters at the end of a progress report that are never left out."""
WIDEST_TITLE = 36
"""Cells of a step's title."""
SAID = 4
"""Sentences under the machine's row: which regions had none, and what is tried now."""
MACHINE = "machine"
"""The row before the steps: the machine is launched and boots."""

RowState = Literal["waiting", "running", "done", "failed", "stopped"]

SIGNS: dict[RowState, tuple[str, str]] = {
    "waiting": ("○", "$foreground-muted"),
    "running": ("•", "bold $text-primary"),
    "done": ("✓", "$text-success"),
    "failed": ("✕", "bold $text-error"),
    "stopped": ("•", "$foreground-muted"),
}
"""State → sign and style."""


def now() -> float:
    """Seconds since the epoch, by the clock of this computer."""
    return time.time()


def elapsed(seconds: float) -> str:
    """`7 s`, `2:05 min`, `1:02:05 h`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"


@dataclass
class Row:
    """One step. Times are by the clock of the machine."""

    id: str
    title: str
    state: RowState = "waiting"
    began: float | None = None
    ended: float | None = None
    note: str = ""


class StepList(Static):
    """A row for each step, with its time; the running one tells how far it is.

    Args:
        steps: of the plan, in order.
        machine: what is launched first; empty: the machine is there.
        since: when this run began, by our clock: no step of it can have run for longer.
    """

    DEFAULT_CSS = """
    StepList { height: auto; width: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(
        self,
        steps: Iterable[Step] = (),
        *,
        machine: str = "",
        since: float = 0.0,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id, markup=False)
        self._rows: dict[str, Row] = {}
        self._told: list[Progress | Said] = []
        """What the running step says of itself; while there is no machine, how that came about."""
        self._since = since
        self.begin(steps, machine=machine, since=since)

    def begin(self, steps: Iterable[Step], *, machine: str = "", since: float = 0.0) -> None:
        """Forget what was shown, and wait for these steps."""
        self._rows = {MACHINE: Row(MACHINE, machine)} if machine else {}
        self._rows |= {step.id: Row(step.id, step.title) for step in steps}
        self._told, self._since = [], since
        self._draw()

    def on_mount(self) -> None:
        """Count on once a second."""
        self._draw()
        self.set_interval(TICK_SECONDS, self._draw)

    @property
    def rows(self) -> list[Row]:
        """What it shows."""
        return list(self._rows.values())

    def show(self, *events: Event) -> None:
        """Take in what a job told, and draw it."""
        for event in events:
            self._take(event)
        self._draw()

    def machine_is_there(self) -> None:
        """Whatever it took: the machine has been launched."""
        self._machine_is_there(None)
        self._draw()

    def stop(self, *, failed: bool) -> None:
        """The job is over here: nothing runs any more, as far as we know."""
        for row in self._rows.values():
            if row.state == "running":
                row.state = "failed" if failed else "stopped"
        self._told = []
        self._draw()

    def _take(self, event: Event) -> None:
        match event:
            case StepStarted(id=id_, at=at):
                self._machine_is_there(at)
                row = self._row(id_)
                row.state, row.began, row.ended, row.note = "running", at, None, ""
                self._told = []
            case StepFinished(id=id_, at=at, exit_status=exit_status):
                row = self._row(id_)
                row.state, row.ended = "failed" if exit_status else "done", at
                row.note = f"exit status {exit_status}" if exit_status else ""
                self._told = []
            case StepSkipped(id=id_):
                self._machine_is_there(None)
                row = self._row(id_)
                row.state, row.note = "done", "done before"
            case InstanceChanged(instance=instance):
                if row_ := self._rows.get(MACHINE):
                    row_.note = one_line(f"{instance.status} {instance.ip}")
                    row_.state = "running" if row_.state == "waiting" else row_.state
            case Said() | Progress():
                if (row_ := self._rows.get(MACHINE)) and row_.state == "waiting":
                    row_.state = "running"
                told = self._told[-1:] == [event]  # a screen that opens meanwhile reads an event, and gets it too
                before = self._told if row_ and row_.state == "running" and isinstance(event, Said) else []
                self._told = self._told if told else [*before[1 - SAID :], event]
            case Output() | TextDelta():
                pass

    def _row(self, id_: str) -> Row:
        return self._rows.setdefault(id_, Row(id_, one_line(id_)))

    def _machine_is_there(self, at: float | None) -> None:
        row = self._rows.get(MACHINE)
        if row and row.state != "done":
            row.state, row.began, row.ended = "done", self._since or None, at
            row.note = row.note.removeprefix("booting ")  # it answers by ssh, whatever the cloud's list last said

    # ---- drawing

    def _draw(self) -> None:
        self.update(self.content_of(now()))

    def content_of(self, at: float) -> Content:
        """The rows at a moment of our clock."""
        width = min(WIDEST_TITLE, max((cell_len(row.title) for row in self._rows.values()), default=0))
        told = [_told(one, self.content_size.width) for one in self._told]
        lines: list[Content] = []
        for row in self._rows.values():
            sign, style = SIGNS[row.state]
            title = set_cell_size(row.title, width)
            quiet = "" if row.state in ("running", "failed") else "$foreground-muted"
            strong = "bold" if row.state == "running" else quiet if row.state == "waiting" else ""
            fact = "  ".join(part for part in (self._time(row, at), row.note) if part)
            lines.append(Content.assemble((f"{sign} ", style), (title, strong), "  ", (fact, quiet)))
            if row.state == "running":
                lines += told
        if not any(row.state == "running" for row in self._rows.values()):
            lines += told
        return Content("\n").join(lines)

    def _time(self, row: Row, at: float) -> str:
        if row.state == "waiting":
            return ""
        if row.id == MACHINE and row.began is None:
            return elapsed(at - self._since) if self._since and row.state == "running" else ""
        if row.began is None:
            return ""
        if row.ended is not None:
            return elapsed(row.ended - row.began)
        # The machine's clock may be hours away from ours: a step that runs has run for no longer than the job.
        return elapsed(min(at - row.began, at - self._since)) if row.state == "running" else ""


def _told(told: Progress | Said, width: int) -> Content:
    """What the running step says of itself, under its row."""
    if isinstance(told, Said):
        return Content.styled("  " + one_line(told.text), "$text-secondary")
    words = one_line(f"{told.phase}  {told.detail}")
    if told.fraction is None:
        return Content.styled("  " + _squeezed(words, width - 2), "$text-secondary")
    fraction = min(1.0, max(0.0, told.fraction))
    full = round(fraction * BAR)
    return Content.assemble(
        ("  " + "█" * full, "$text-primary"),
        ("░" * (BAR - full), "$foreground-muted"),
        (f" {fraction:4.0%}  ", "bold"),
        (_squeezed(words, width - BAR - 9), "$text-secondary"),
    )


def _squeezed(words: str, room: int) -> str:
    """Without its middle where it is too long: how much of how much stands at the end."""
    if len(words) <= room or room <= TAIL:
        return words
    return f"{words[: room - TAIL - 1]}…{words[-TAIL:]}"
