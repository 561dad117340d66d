"""A question with the facts that decide it; No is where the cursor stands."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from llama_tui.redact import clean
from llama_tui.tui.widgets.plan_view import rows


class ConfirmScreen(ModalScreen[bool]):
    """Asks, and returns the answer.

    Args:
        question: one sentence.
        details: label and value, a row each.
        yes: what happens on yes, as the label of the button.
        danger: it cannot be undone.
        no: the label of the other button.
    """

    CSS_PATH = "confirm.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", id="yes", tooltip="Do it"),
        Binding("n,escape", "answer(False)", "No", id="no", key_display="n/Esc", tooltip="Leave everything as it is"),
        Binding("left,up", "app.focus_previous", "Other button", id="confirm-previous", show=False),
        Binding("right,down", "app.focus_next", "Other button", id="confirm-next", show=False),
    ]

    def __init__(
        self, question: str, details: list[tuple[str, str]], *, yes: str, danger: bool = False, no: str = "No"
    ) -> None:
        super().__init__()
        self.question = question
        self.details = details
        self.yes_label = yes
        self.no_label = no
        self.danger = danger

    def compose(self) -> ComposeResult:
        """Question, rows, two buttons."""
        with Vertical(id="box", classes="-danger" if self.danger else ""):
            yield Static(clean(self.question), id="question", markup=False)
            if self.details:
                with VerticalScroll(id="details", can_focus=False):
                    yield Static(rows(self.details), id="rows")
            with Horizontal(id="buttons"):
                yield Button(self.no_label + "  n", id="no", compact=True)
                yield Button(
                    self.yes_label + "  y", id="yes", compact=True, variant="error" if self.danger else "default"
                )

    def on_mount(self) -> None:
        """Enter alone never does it."""
        self.query_one("#no", Button).focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """The keys y and n."""
        self.dismiss(answer)
