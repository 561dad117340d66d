"""An endpoint that answers: ask it, and read what its machine writes."""

from __future__ import annotations

from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Button, ContentSwitcher, Footer, Static

from llama_tui.core.errors import LlamaTuiError
from llama_tui.endpoints import Endpoint
from llama_tui.redact import clean
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.widgets.log_pane import LogPane
from llama_tui.tui.widgets.log_view import LogView
from llama_tui.tui.widgets.prompt_input import PromptInput
from llama_tui.tui.widgets.prompt_pane import PromptPane
from llama_tui.tui.widgets.status_header import StatusHeader

LOOK_SECONDS = 1.0
"""Between two looks at the record: another process may end the endpoint."""
TABS = {"prompt": "Prompt  F2", "logs": "Logs  F3"}
"""Tab → label."""


class EndpointScreen(Screen[None]):
    """Prompt and logs of one endpoint.

    Args:
        name: of the endpoint.
    """

    CSS_PATH = "endpoint.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "tab('prompt')", "Prompt", id="endpoint.prompt", show=False, tooltip="Ask the model"),
        Binding("f3", "tab('logs')", "Logs", id="endpoint.logs", show=False, tooltip="What its machine writes"),
        Binding("f8,x", "terminate", "Terminate", id="endpoint.terminate", tooltip="End it; asks first"),
        Binding("escape", "app.pop_screen", "Back", id="endpoint.back", tooltip="Back; the endpoint stays up"),
    ]
    app = getters.app(LlamaTuiApp)
    header = getters.query_one(StatusHeader)
    switcher = getters.query_one(ContentSwitcher)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.endpoint_name = name
        self.endpoint: Endpoint | None = None

    def compose(self) -> ComposeResult:
        """Header, two tabs, keys."""
        try:
            endpoint = self.endpoint = self.app.services.endpoints.find(self.endpoint_name, ended=True)
        except LlamaTuiError as error:
            yield StatusHeader()
            yield Static(clean(f"✕ {error.sentence}\n  {error.hint}"), classes="trouble", markup=False)
            yield Footer(show_command_palette=False)
            return
        yield StatusHeader(endpoint)
        with Horizontal(id="tabs"):
            for tab, label in TABS.items():
                button = Button(label, id=f"tab-{tab}", compact=True, classes="-active" if tab == "prompt" else "")
                button.can_focus = False
                yield button
        with ContentSwitcher(initial="prompt"):
            yield PromptPane(self.app.services, endpoint, id="prompt")
            yield LogPane(self.app.services, endpoint, source="server", id="logs")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Keep up with the record."""
        self.set_interval(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        if self.endpoint is None:
            return
        try:
            endpoint = self.app.services.endpoints.get(self.endpoint.id)
        except Exception:  # noqa: BLE001 — a record that is busy is read again in a second
            return
        if endpoint == self.endpoint:
            return
        if endpoint.state in ("ending", "ended") and self.endpoint.state not in ("ending", "ended"):
            self.notify(
                "it was terminated from elsewhere", title=f"{endpoint.name} is {endpoint.state}", markup=False
            )
        self.endpoint = self.header.endpoint = endpoint

    def action_tab(self, tab: str) -> None:
        """Go to a tab; the cursor goes where one types, or to the log."""
        if self.endpoint is None:
            return
        self.switcher.current = tab
        for button in self.query("#tabs Button"):
            button.set_class(button.id == f"tab-{tab}", "-active")
        if field := self.query_one_optional(PromptInput if tab == "prompt" else LogView):
            field.focus()

    @on(Button.Pressed, "#tabs Button")
    def _tab_pressed(self, event: Button.Pressed) -> None:
        self.action_tab((event.button.id or "").removeprefix("tab-"))

    def action_terminate(self) -> None:
        """Ask whether to end it."""
        if self.endpoint is not None:
            self.app.ask_terminate(self.endpoint)
