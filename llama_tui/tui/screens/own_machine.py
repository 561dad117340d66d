"""Which machine of one's own: an SSH address, or this computer."""

from __future__ import annotations

from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static


class OwnMachineScreen(ModalScreen[str | None]):
    """Returns `USER@HOST`, an empty text for this computer, or None."""

    CSS_PATH = "own_machine.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Back", id="own-back", tooltip="Back to Home"),
        Binding("ctrl+t", "here", "This computer", id="own-here", tooltip="Serve on this computer"),
    ]
    host = getters.query_one("#host", Input)

    def compose(self) -> ComposeResult:
        """One field, two ways on."""
        with Vertical(id="box"):
            yield Static("My own machine", classes="title")
            yield Static("The address as you give it to ssh: USER@HOST, or a name of ~/.ssh/config", classes="note")
            yield Input(placeholder="ubuntu@203.0.113.7", id="host", compact=True)
            yield Static(id="trouble", markup=False)
            with Horizontal(id="buttons"):
                yield Button("This computer  ctrl+t", id="here", compact=True)
                yield Button("Connect  Enter", id="connect", compact=True, variant="primary")

    @on(Input.Submitted)
    @on(Button.Pressed, "#connect")
    def _connect(self) -> None:
        host = self.host.value.strip()
        if not host or host.startswith("-") or any(letter.isspace() for letter in host):
            self.query_one("#trouble", Static).update("type an address like ubuntu@203.0.113.7")
            self.host.focus()
            return
        self.dismiss(host)

    @on(Button.Pressed, "#here")
    def action_here(self) -> None:
        """Serve on this computer."""
        self.dismiss("")

    def action_cancel(self) -> None:
        """Back to Home."""
        self.dismiss(None)
