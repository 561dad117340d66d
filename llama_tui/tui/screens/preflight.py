"""Whether this plan can succeed, before it costs anything: each line with its fix."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from rich.table import Table
from rich.text import Text
from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from llama_tui.core.errors import as_told
from llama_tui.core.limits import OPTIONS
from llama_tui.core.plan import Choices
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.widgets.status_header import one_line

if TYPE_CHECKING:
    from llama_tui.jobs.preflight import Check

SIGNS = {"ok": ("✓", "green"), "failed": ("✕", "bold red"), "unknown": ("?", "yellow"), "note": ("!", "yellow")}
"""State of a check → sign and colour."""
LOGIN = re.compile(r"llama-tui login (lambda|hf)")
"""The command in a fix; in the app a key does the same."""
WAIT = "up --wait 3h"
"""The same for a machine that is sold out."""


def in_app(fix: str) -> str:
    """A fix with the app's keys in place of commands and options."""
    fix = LOGIN.sub("k, Keys and tokens", one_line(fix)).replace(OPTIONS, "l, beside the plan")
    return fix.replace(WAIT, "launch all the same, then w")


def lines_of(checks: list[Check]) -> Table:
    """The checks, a row each, what fails first; under what is not good stands its fix."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    for one in sorted(checks, key=lambda one: one.state != "failed"):
        sign, style = SIGNS[one.state]
        told = Text(one_line(one.detail), "dim" if one.state == "ok" else "", overflow="fold")
        if one.fix and one.state != "ok":
            told.append("\n→ " + in_app(one.fix), "bold")
        grid.add_row(Text(sign, style), Text(one_line(one.what)), told)
    return grid


class PreflightScreen(ModalScreen[None]):
    """Looks on opening, and again when asked."""

    CSS_PATH = "preflight.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.pop_screen", "Back", id="preflight-back", tooltip="Back to the plan"),
        Binding("up", "lines(-1)", "Up", id="preflight-up", show=False, tooltip="What stands above"),
        Binding("down", "lines(1)", "Down", id="preflight-down", show=False, tooltip="What stands below"),
        Binding("left", "app.focus_previous", "Other button", id="preflight-previous", show=False),
        Binding("right", "app.focus_next", "Other button", id="preflight-next", show=False),
        Binding("r", "again", "Again", id="preflight-again", tooltip="Look again"),
        Binding("k", "credentials", "Keys", id="preflight-keys", tooltip="Keys and tokens"),
    ]
    app = getters.app(LlamaTuiApp)

    def __init__(self, choices: Choices) -> None:
        super().__init__()
        self._choices = choices
        self.checks: list[Check] = []

    def compose(self) -> ComposeResult:
        """The lines, and the ways on."""
        with Vertical(id="box"):
            yield Static("Can it succeed?", classes="title", markup=False)
            with VerticalScroll(id="lines", can_focus=False):
                yield Static(id="checks")
            with Horizontal(id="buttons"):
                yield Button("Keys and tokens  k", id="keys", compact=True)
                yield Button("Look again  r", id="again", compact=True)
                yield Button("Back  Esc", id="back", compact=True)

    def on_mount(self) -> None:
        """Look at once."""
        self.query_one("#back", Button).focus()
        self.action_again()

    @on(Button.Pressed, "#again")
    def action_again(self) -> None:
        """Look again."""
        self.query_one("#checks", Static).update(Content.styled("looking …", "$foreground-muted"))
        self.run_worker(self._look(), group="preflight", exclusive=True, exit_on_error=False)

    async def _look(self) -> None:
        shown = self.query_one("#checks", Static)
        try:
            self.checks = await self.app.services.preflight(self._choices)
        except Exception as error:  # noqa: BLE001 — said on the screen
            told = as_told(error)
            shown.update(Content.styled(f"{one_line(told.sentence)}\n{one_line(told.hint)}", "$text-error"))
        else:
            shown.update(lines_of(self.checks))
            if any(one.state == "failed" and LOGIN.search(one.fix) for one in self.checks):
                self.query_one("#keys", Button).focus()
            elif self.focused is self.query_one("#keys", Button):
                self.query_one("#back", Button).focus()

    def action_lines(self, by: int) -> None:
        """Scroll the lines, where a small terminal does not hold them all."""
        self.query_one("#lines", VerticalScroll).scroll_relative(y=by, animate=False)

    @on(Button.Pressed, "#keys")
    def action_credentials(self) -> None:
        """Keys and tokens; what is kept there is looked at anew."""
        from llama_tui.tui.screens.credentials import CredentialsScreen

        failed = {one.what for one in self.checks if one.state == "failed"}
        screen = CredentialsScreen("lambda" if "account" in failed else "hf")
        self.app.push_screen(screen, lambda changed: self.action_again() if changed else None)

    @on(Button.Pressed, "#back")
    def _back(self) -> None:
        self.dismiss(None)
