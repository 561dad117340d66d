"""Adopt a server that somebody else runs, by its URL."""

from __future__ import annotations

import asyncio
import re
from typing import ClassVar
from urllib.parse import urlsplit

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from llama_tui.core.errors import LlamaTuiError, as_told
from llama_tui.endpoints import Endpoint
from llama_tui.redact import Secret
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.widgets.status_header import one_line

ATTACH_SECONDS = 30.0
"""How long the server may take to say which models it has."""


class KeyInput(Input):
    """A field for a secret: it shows dots, and cannot be copied out of."""

    def action_copy(self) -> None:
        """Nothing: Input copies the text behind the dots."""

    def action_cut(self) -> None:
        """Nothing, as above."""


class EndpointUrlScreen(ModalScreen[Endpoint | None]):
    """Returns the endpoint that was adopted, or None."""

    CSS_PATH = "endpoint_url.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Back", id="url-back", tooltip="Back to Home"),
    ]
    app = getters.app(LlamaTuiApp)
    url = getters.query_one("#url", Input)
    key = getters.query_one("#key", Input)
    named = getters.query_one("#name", Input)
    trouble = getters.query_one("#trouble", Static)

    def compose(self) -> ComposeResult:
        """Three fields, one way on."""
        with Vertical(id="box"):
            yield Static("An endpoint URL", classes="title")
            yield Static("A server that speaks OpenAI's API: vLLM, llama.cpp, a hosted one", classes="note")
            yield Static("URL", classes="label")
            yield Input(placeholder="http://127.0.0.1:8000", id="url", compact=True)
            yield Static("API key, if it wants one (kept in the keyring of this computer)", classes="label")
            yield KeyInput(password=True, id="key", compact=True)
            yield Static("Name here", classes="label")
            yield Input(placeholder="from the address", id="name", compact=True)
            yield Static(id="trouble")
            with Horizontal(id="buttons"):
                yield Button("Back  Esc", id="back", compact=True)
                yield Button("Add  Enter", id="add", compact=True, variant="primary")

    @on(Input.Submitted)
    @on(Button.Pressed, "#add")
    def _add(self) -> None:
        target = self.url.value.strip().rstrip("/").removesuffix("/v1")
        if not re.match(r"^https?://[^\s/]+", target):
            self._tell("that is not a URL", "type one like http://127.0.0.1:8000")
            self.url.focus()
            return
        name = self.named.value.strip() or _name_of(target)
        secret = Secret(self.key.value) if self.key.value else None
        self._tell("", "asking the server …")
        self.run_worker(self._adopt(target, name, secret), group="attach", exclusive=True, exit_on_error=False)

    async def _adopt(self, target: str, name: str, key: Secret | None) -> None:
        try:
            async with asyncio.timeout(ATTACH_SECONDS):
                self.dismiss(await self.app.services.attach(target, name, key))
        except TimeoutError:
            self._tell("the server does not answer", "look at the address, and whether it runs")
        except Exception as error:  # noqa: BLE001 — said on the screen; what was typed stays
            told: LlamaTuiError = as_told(error)
            self._tell(told.sentence, told.hint)

    def _tell(self, sentence: str, hint: str) -> None:
        said = (f"{one_line(sentence)}\n" if sentence else "", "$text-error")
        self.trouble.update(Content.assemble(said, (one_line(hint), "$foreground-muted")))

    @on(Button.Pressed, "#back")
    def action_cancel(self) -> None:
        """Back to Home."""
        self.dismiss(None)


def _name_of(url: str) -> str:
    """A name made from the host of a URL."""
    host = urlsplit(url).netloc.rsplit("@", 1)[-1]
    return re.sub(r"[^a-z0-9]+", "-", host.lower()).strip("-")[:32].strip("-")
