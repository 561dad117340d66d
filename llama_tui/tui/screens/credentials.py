"""Keys and tokens: where each is, a new one tried before it is kept, and forgotten again."""

from __future__ import annotations

import asyncio
import re
from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from llama_tui import credentials
from llama_tui.core.errors import as_told
from llama_tui.credentials import KeyringUnavailable, Service
from llama_tui.redact import Secret
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.screens.endpoint_url import KeyInput
from llama_tui.tui.widgets.log_pane import from_home
from llama_tui.tui.widgets.status_header import one_line

SERVICES: dict[Service, tuple[str, str]] = {
    "lambda": ("Lambda API key", "https://cloud.lambda.ai/api-keys"),
    "hf": ("Hugging Face token", "https://huggingface.co/settings/tokens"),
}
"""Service → what it is called, and where one is made."""
HERE = re.compile(r"(,? and give it|,? then)?: llama-tui login (lambda|hf)")
"""The end of a hint that leads to where one is already."""
TRY_SECONDS = 30.0
"""How long it may take to try one."""


class CredentialsScreen(ModalScreen[bool | None]):
    """Returns whether something was kept or forgotten.

    Args:
        first: where the cursor stands.
    """

    CSS_PATH = "credentials.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", id="credentials-back", tooltip="Back to where you were"),
        Binding("left,up", "app.focus_previous", "Other button", id="credentials-previous", show=False),
        Binding("right,down", "app.focus_next", "Other button", id="credentials-next", show=False),
        # Input deletes a character with it.
        Binding("ctrl+d", "forget", "Forget", id="credentials-forget", priority=True, tooltip="Forget this one"),
    ]
    app = getters.app(LlamaTuiApp)

    def __init__(self, first: Service = "lambda") -> None:
        super().__init__()
        self._first = first
        self._changed = False
        self._tried: dict[Service, Secret] = {}
        """Tried and good, and not kept yet: there is no keyring."""

    def compose(self) -> ComposeResult:
        """For each: what there is, a field, what came of it."""
        with Vertical(id="box"):
            yield Static("Keys and tokens", classes="title")
            for service, (name, page) in SERVICES.items():
                yield Static(name, classes="label", id=f"{service}-label")
                yield KeyInput(password=True, id=service, compact=True, placeholder=f"make one at {page}")
                yield Static(id=f"{service}-said")
            with Horizontal(id="choice"):
                yield Button("Only until the app ends", id="session", compact=True)
                yield Button("In a file that only you can read", id="file", compact=True)
            with Horizontal(id="buttons"):
                yield Button("Forget  ^d", id="forget", compact=True)
                yield Button("Back  Esc", id="back", compact=True)
                yield Button("Try and keep  Enter", id="keep", compact=True, variant="primary")

    def on_mount(self) -> None:
        """Where each is found takes a keyring's time: after the first look."""
        self.query_one(f"#{self._first}", KeyInput).focus()
        self.run_worker(self._look(), group="look", exclusive=True, exit_on_error=False)

    async def _look(self) -> None:
        for service, (name, _) in SERVICES.items():
            found = await asyncio.to_thread(credentials.look, service)
            places = {
                "environment": f"in the environment, {credentials.VARIABLE[service]}",
                "session": "until the app ends",
                "keyring": "in the keyring",
                "file": "in a file that only you can read",
            }
            where = places.get(found[1], found[1]) if found else "none"
            text = Content.assemble((f"{name}: ", ""), (where, "$text-success" if found else "$foreground-muted"))
            self.query_one(f"#{service}-label", Static).update(text)

    @property
    def _service(self) -> Service:
        """The one under the cursor."""
        return "hf" if self.focused is not None and self.focused.id == "hf" else self._first

    @on(KeyInput.Submitted)
    def _submitted(self, event: KeyInput.Submitted) -> None:
        self._first = "hf" if event.input.id == "hf" else "lambda"
        self._try(self._first)

    @on(Button.Pressed, "#keep")
    def _pressed(self) -> None:
        filled = [one for one in SERVICES if self.query_one(f"#{one}", KeyInput).value.strip()]
        for service in filled or [self._service]:
            self._try(service)

    def _try(self, service: Service) -> None:
        value = self.query_one(f"#{service}", KeyInput).value.strip()
        if not value:
            self._say(service, "type it, or paste it, first", "$text-warning")
            return
        self._say(service, "trying …", "$foreground-muted")
        self.run_worker(
            self._keep(service, Secret(value)), group=f"try-{service}", exclusive=True, exit_on_error=False
        )

    async def _keep(self, service: Service, secret: Secret) -> None:
        try:
            async with asyncio.timeout(TRY_SECONDS):
                said = await self.app.services.try_credential(service, secret)
            self._tried[service] = secret
            await asyncio.to_thread(credentials.to_keyring, service, secret)
        except TimeoutError:
            self._say(service, "there is no answer; try again", "$text-error")
        except KeyringUnavailable as error:
            self._first = service
            self.query_one("#choice").display = True
            self._say(service, f"{said}; {error.sentence}: where may it be kept?", "$text-warning")
            self.query_one("#session", Button).focus()
        except Exception as error:  # noqa: BLE001 — said on the screen; what was typed stays
            told = as_told(error)
            self._say(service, f"{told.sentence}\n{HERE.sub('', told.hint)}", "$text-error")
        else:
            await self._kept(service, said)

    @on(Button.Pressed, "#session, #file")
    async def _chosen(self, event: Button.Pressed) -> None:
        service = self._first
        secret = self._tried.get(service)
        if secret is None:
            return
        if event.button.id == "session":
            credentials.for_this_session(service, secret)
            await self._kept(service, "used until the app ends")
            return
        try:
            file = await asyncio.to_thread(credentials.to_file, service, secret)
        except Exception as error:  # noqa: BLE001 — said on the screen
            self._say(service, as_told(error).sentence, "$text-error")
        else:
            await self._kept(service, f"kept in {from_home(file)}")

    async def _kept(self, service: Service, said: str) -> None:
        self._changed = True
        self.app.services.forget_clouds()
        self._tried.pop(service, None)
        self.query_one("#choice").display = False
        self.query_one(f"#{service}", KeyInput).value = ""
        self._say(service, f"✓ {said}", "$text-success")
        self.query_one(f"#{service}", KeyInput).focus()
        await self._look()

    @on(Button.Pressed, "#forget")
    async def action_forget(self) -> None:
        """Forget the one under the cursor wherever llama-tui keeps it."""
        service = self._service
        try:
            gone = await asyncio.to_thread(credentials.forget, service)
        except Exception as error:  # noqa: BLE001 — said on the screen
            self._say(service, as_told(error).sentence, "$text-error")
            return
        self._changed = self._changed or bool(gone)
        self.app.services.forget_clouds()
        self._say(service, f"forgotten: {', '.join(gone)}" if gone else "llama-tui keeps none", "$foreground-muted")
        await self._look()

    def _say(self, service: Service, text: str, style: str) -> None:
        lines = "\n".join(one_line(line) for line in text.split("\n") if line)
        self.query_one(f"#{service}-said", Static).update(Content.styled(lines, style))

    @on(Button.Pressed, "#back")
    def action_leave(self) -> None:
        """Back."""
        self.dismiss(self._changed)
