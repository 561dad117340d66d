"""An endpoint that answers: ask it, and read what its machine writes."""

from __future__ import annotations

from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer, Static, TabbedContent, TabPane

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


class EndpointScreen(Screen[None]):
    """Prompt and logs of one endpoint.

    Args:
        name: of the endpoint.
    """

    CSS_PATH = "endpoint.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "tab('prompt')", "Prompt", id="endpoint.prompt", tooltip="Ask the model"),
        Binding("f3", "tab('logs')", "Logs", id="endpoint.logs", tooltip="What its machine writes"),
        Binding("f8,x", "terminate", "Terminate", id="endpoint.terminate", tooltip="End it; asks first"),
        Binding("escape", "app.pop_screen", "Back", id="endpoint.back", tooltip="Back; the endpoint stays up"),
    ]
    app = getters.app(LlamaTuiApp)
    header = getters.query_one(StatusHeader)
    tabs = getters.query_one(TabbedContent)

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
        with TabbedContent(initial="prompt"):
            with TabPane("Prompt  F2", id="prompt"):
                yield PromptPane(self.app.services, endpoint)
            with TabPane("Logs  F3", id="logs"):
                if endpoint.cloud == "url":
                    yield Static(
                        "Somebody else runs this server: its log is with them.", classes="trouble", markup=False
                    )
                else:
                    yield LogPane(self.app.services, endpoint, source="server")
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
        """Go to a tab."""
        if self.endpoint is not None:
            self.tabs.active = tab
            self._focus(tab)

    @on(TabbedContent.TabActivated)
    def _activated(self, event: TabbedContent.TabActivated) -> None:
        if event.pane.id and not event.pane.has_focus_within:
            self._focus(event.pane.id)

    def _focus(self, tab: str) -> None:
        """The cursor goes where one types, or to the log."""
        for widget in self.query(PromptInput if tab == "prompt" else LogView):
            self.call_after_refresh(widget.focus)

    def action_terminate(self) -> None:
        """Ask whether to end it."""
        if self.endpoint is not None:
            self.app.ask_terminate(self.endpoint)
