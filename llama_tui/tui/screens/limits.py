"""The limits of money and time of the endpoint that is about to be launched."""

from __future__ import annotations

from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.validation import Number
from textual.widgets import Button, Input, Static

from llama_tui.core.limits import HOLDS, WHY
from llama_tui.core.plan import Limits
from llama_tui.tui.app import LlamaTuiApp

SMALLEST = 0.01
"""Of dollars and hours; idle minutes are whole ones."""


class LimitsScreen(ModalScreen[Limits | None]):
    """Returns the limits, or None where they stay as they are.

    Args:
        limits: as they are.
    """

    CSS_PATH = "limits.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Back", id="limits-back", tooltip="Leave the limits as they are"),
    ]
    app = getters.app(LlamaTuiApp)
    usd = getters.query_one("#usd", Input)
    hours = getters.query_one("#hours", Input)
    idle = getters.query_one("#idle", Input)

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits

    def compose(self) -> ComposeResult:
        """Three fields; an empty one is no limit."""
        with Vertical(id="box"):
            yield Static("When is it to end by itself?", classes="title")
            yield Static(f"Each limit {HOLDS} ({WHY}).", classes="note", markup=False)
            yield from self._field("usd", "Dollars", "number", self._limits.usd)
            yield from self._field("hours", "Hours", "number", self._limits.hours)
            yield from self._field("idle", "Minutes without a request", "integer", self._limits.idle_minutes)
            with Horizontal(id="buttons"):
                yield Button("Back  Esc", id="back", compact=True)
                yield Button("Set  Enter", id="set", compact=True, variant="primary")

    def _field(self, id: str, label: str, type: str, value: float | None) -> ComposeResult:  # noqa: A002
        yield Static(label, classes="label")
        smallest = 1 if type == "integer" else SMALLEST
        yield Input(
            f"{value:g}" if value else "",
            placeholder="no limit",
            type="integer" if type == "integer" else "number",
            validators=[Number(minimum=smallest, failure_description=f"at least {smallest:g}")],
            valid_empty=True,
            id=id,
            compact=True,
        )

    @on(Input.Submitted)
    @on(Button.Pressed, "#set")
    def _set(self) -> None:
        for field in (self.usd, self.hours, self.idle):
            checked = field.validate(field.value)
            if checked and not checked.is_valid:
                field.focus()
                self.notify("; ".join(checked.failure_descriptions), severity="error", markup=False)
                return
        usd, hours, idle = (field.value.strip() for field in (self.usd, self.hours, self.idle))
        limits = Limits(float(usd) if usd else None, float(hours) if hours else None, int(idle) if idle else None)
        self.dismiss(limits)

    @on(Button.Pressed, "#back")
    def action_cancel(self) -> None:
        """Nothing changes."""
        self.dismiss(None)
