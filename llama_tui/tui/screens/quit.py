"""The way out while something runs: leave it, end it and wait for the proof, or stay."""

from __future__ import annotations

from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from llama_tui.core.events import Event
from llama_tui.core.limits import in_words
from llama_tui.core.money import dollars, per_hour
from llama_tui.endpoints import Endpoint
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.messages import JobEnded
from llama_tui.tui.screens.setup import PREPARING
from llama_tui.tui.widgets.status_header import STATES, one_line, price

LEAVE_FREE = "Leave running: goes on; it costs nothing"


class QuitScreen(ModalScreen[None]):
    """Asks what becomes of what runs; with "end all" it stays until every machine is proven gone.

    Args:
        running: the endpoints that cost money or are being set up.
        waiting: names of those that have no machine yet and wait for one to be had.
    """

    CSS_PATH = "quit.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "leave", "Leave running", id="quit-leave", tooltip="Quit; everything goes on"),
        Binding("t", "end_all", "End all", id="quit-end-all", tooltip="End every machine, wait for the proof, quit"),
        Binding("escape,s", "stay", "Stay", id="quit-stay", tooltip="Do not quit"),
        Binding("left,up", "app.focus_previous", "Other button", id="quit-previous", show=False),
        Binding("right,down", "app.focus_next", "Other button", id="quit-next", show=False),
    ]
    app = getters.app(LlamaTuiApp)

    def __init__(self, running: list[Endpoint], waiting: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.running, self.waiting = running, waiting
        self.ending = False
        self._lines: dict[str, Content] = {one.name: _row(one) for one in running}

    def compose(self) -> ComposeResult:
        """What runs, what leaving means, three buttons."""
        cents = sum(one.price_cents_per_hour for one in self.running if one.cloud != "practice")
        leave = f"Leave running: goes on and costs {per_hour(cents)}" if cents else LEAVE_FREE
        if self.waiting >= {one.name for one in self.running}:
            leave = "Leave: the waiting ends"
        count = len(self.running)
        with Vertical(id="box"):
            yield Static(f"{count} endpoint{' is' if count == 1 else 's are'} still up", id="title")
            yield Static(id="rows")
            yield Static(id="note", markup=False)
            yield Button(f"{leave}  l", id="leave", compact=True)
            yield Button("End all, wait for the proof, then quit  t", id="end", compact=True, variant="error")
            yield Button("Stay here  Esc", id="stay", compact=True, variant="primary")

    def on_mount(self) -> None:
        """Enter alone changes nothing."""
        setting_up = any(one.state in PREPARING and one.name not in self.waiting for one in self.running)
        limited = any(one.plan and in_words(one.plan.limits) for one in self.running)
        notes = ["A setup goes on on its machine; come back to watch it."] * setting_up
        notes += ["Waiting for a machine to be had ends with the app."] * bool(self.waiting)
        notes += ["Left running, limits hold only by `llama-tui reap` from cron."] * limited
        self._show("\n".join(notes))
        self.query_one("#stay", Button).focus()

    def _show(self, note: str) -> None:
        self.query_one("#rows", Static).update(Content("\n").join(self._lines.values()))
        self.query_one("#note", Static).update(note)
        self.query_one("#note").display = bool(note)

    @on(Button.Pressed)
    async def _pressed(self, event: Button.Pressed) -> None:
        match event.button.id:
            case "leave":
                await self.action_leave()
            case "end":
                self.action_end_all()
            case _:
                self.action_stay()

    def action_stay(self) -> None:
        """Back to where it was; a termination that has begun goes on."""
        self.dismiss()

    async def action_leave(self) -> None:
        """Quit; what runs goes on."""
        await self.app.leave_now()

    def action_end_all(self) -> None:
        """End everything that is up here."""
        if self.ending:
            return
        self.ending = True
        for button in self.query(Button):
            button.display = button.id == "stay"
        for endpoint in self.running:
            self.app.start_terminate(endpoint)
        self._show("Waiting until each one is proven gone. Do not close the terminal.")

    def show_event(self, name: str, event: Event) -> None:
        """A termination told something."""
        if self.ending and name in self._lines and (job := self.app.endings.get(name)):
            self._lines[name] = Content.assemble((f"◌ {one_line(name)}  ", "$text-warning"), one_line(job.said))
            self._show("Waiting until each one is proven gone. Do not close the terminal.")

    async def job_ended(self, message: JobEnded) -> None:
        """A termination is over: quit after the last one, unless one could not be proven."""
        if not self.ending or message.name not in self._lines:
            return
        if message.receipt:
            cost = dollars(message.receipt.usd)
            self._lines[message.name] = Content.styled(
                f"✓ {one_line(message.name)}  gone, about {cost}", "$text-success"
            )
        elif message.error:
            said = f"✕ {one_line(message.name)}  {one_line(message.error.sentence)}\n  {one_line(message.error.hint)}"
            self._lines[message.name] = Content.styled(said, "$text-error")
        jobs = [self.app.endings.get(name) for name in self._lines]
        if all(job and job.receipt for job in jobs):
            await self.app.leave_now()
        elif not any(job and job.running for job in jobs):
            self.ending = False
            for button in self.query(Button):
                button.display = True
            self._show("Not everything is proven gone: it may still cost money.")
        else:
            self._show("Waiting until each one is proven gone. Do not close the terminal.")


def _row(endpoint: Endpoint) -> Content:
    sign, word, colour = STATES[endpoint.state]
    cost = "practice: nothing is rented" if endpoint.cloud == "practice" else price(endpoint)
    return Content.assemble((f"{sign} {one_line(endpoint.name)}  ", colour), f"{word}  ", (cost, "$foreground-muted"))
