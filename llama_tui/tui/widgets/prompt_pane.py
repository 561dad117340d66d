"""Ask a model and watch it answer: the conversation above, the prompt below, the connection held open between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.getters import query_one
from textual.reactive import reactive
from textual.widgets import Button, Input, Label, Static
from textual.worker import Worker

from llama_tui.core.errors import PromptRefused, UsageError, as_told
from llama_tui.core.events import Event, TextDelta
from llama_tui.endpoints import Endpoint
from llama_tui.jobs.prompt import Answer, PromptRequest
from llama_tui.redact import clean
from llama_tui.tui.widgets.prompt_input import PromptInput
from llama_tui.tui.widgets.turn import Turn

if TYPE_CHECKING:
    from llama_tui.jobs.reach import Server
    from llama_tui.services import Services

REDRAW_SECONDS = 0.1
"""Between two redraws of an answer that is being written."""
TURNS_KEPT = 100
"""Turns that stay on the screen; a chat sends no more than these along."""
MOST_TOKENS = 1_000_000
"""The largest max_tokens that can be asked for; the server has a limit of its own."""


class PromptPane(Vertical):
    """The conversation with one endpoint.

    Args:
        services: what reaches the endpoint.
        endpoint: whom to ask.
    """

    HELP = """
    ## Prompt

    `Enter` sends, `ctrl+j` begins a new line, `up` in an empty prompt brings the last one back.
    `Esc` stops the answer and keeps what has come. `ctrl+t` switches between chat and completion:
    a chat sends the earlier turns along, a completion continues the text as it stands.
    """

    DEFAULT_CSS = """
    PromptPane {
        #conversation { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
        #empty { color: $text-muted; padding: 1 1; }
        #fields { height: 1; padding: 0 1; background: $surface; color: $text-muted; }
        #fields Label { margin: 0 1 0 2; }
        #fields Input { width: 8; background: $panel; }
        #fields Input:focus { background: $primary 30%; }
        #mode { min-width: 18; width: auto; content-align: left middle; text-align: left; }
        #connection { height: auto; padding: 0 1 0 3; color: $text-muted; }
        #connection.-error { color: $text-error; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop", id="prompt.stop", tooltip="Stop the answer and keep what has come"),
        Binding("escape", "leave_field", "Leave the field", id="prompt.leave", show=False, tooltip="To the answers"),
        Binding("ctrl+t", "mode", "Chat/complete", id="prompt.mode", tooltip="Switch between chat and completion"),
        Binding("f4", "copy", "Copy", id="prompt.copy", tooltip="Copy the last answer"),
        Binding("y", "copy", "Copy answer", id="prompt.copy-y", show=False, tooltip="Copy the last answer"),
        Binding("f5", "anew", "New", id="prompt.new", tooltip="Begin a new conversation"),
    ]

    chat: reactive[bool] = reactive(True)
    answering: reactive[bool] = reactive(False)

    conversation = query_one("#conversation", VerticalScroll)
    prompt_input = query_one("#prompt", PromptInput)

    def __init__(self, services: Services, endpoint: Endpoint, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.services = services
        self.endpoint = endpoint
        self.set_reactive(PromptPane.chat, endpoint.plan is None or endpoint.plan.model.chat)
        self._reached: asyncio.Future[Server] | None = None
        self._answer: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        """Conversation, fields, prompt."""
        with VerticalScroll(id="conversation", can_focus=True):
            yield Static(f"Ask {clean(self.endpoint.model) or 'the model'} something.", id="empty", markup=False)
        yield Static("", id="connection", markup=False)
        with Horizontal(id="fields"):
            yield Button(self._mode_label, id="mode", compact=True, tooltip="Switch (ctrl+t)")
            yield Label("max tokens")
            yield Input("256", type="integer", id="max-tokens", compact=True)
            yield Label("temperature")
            yield Input("0.7", type="number", id="temperature", compact=True)
        yield PromptInput(id="prompt")

    def on_mount(self) -> None:
        """Connect, so that the first answer does not wait for it."""
        self.conversation.anchor()
        self.watch_chat()
        self.prompt_input.focus()
        self._say("connecting …")
        self._reach()

    # ---- the connection

    def _reach(self) -> asyncio.Future[Server]:
        """The connection, or a new try where there is none."""
        if self._reached is None:
            self._reached = asyncio.get_running_loop().create_future()
            self._reached.add_done_callback(lambda future: future.cancelled() or future.exception())
            self._hold(self._reached)
        return self._reached

    @work(group="connection", exclusive=True, exit_on_error=False)
    async def _hold(self, reached: asyncio.Future[Server]) -> None:
        """Hold the endpoint reachable until another connection replaces this one."""
        try:
            async with self.services.reach(self.endpoint) as server:
                if not reached.done():
                    reached.set_result(server)
                self._say("")
                await asyncio.Event().wait()
        except Exception as error:  # noqa: BLE001 — whatever it is, the prompt that waits for it is told
            told = as_told(error)
            self._say(f"✕ not connected: {told.sentence}; the next prompt tries again", error=True)
            if not reached.done():
                reached.set_exception(told)
            if self._reached is reached:
                self._reached = None
        finally:
            if not reached.done():
                reached.cancel()

    def _say(self, text: str, *, error: bool = False) -> None:
        line = self.query_one("#connection", Static)
        line.update(" ".join(clean(text).split()))
        line.set_class(error, "-error")
        line.display = bool(text)

    # ---- asking

    @on(PromptInput.Sent)
    async def _sent(self, event: PromptInput.Sent) -> None:
        event.stop()
        if self.answering or not event.text.strip():
            return
        try:
            request = self._request(event.text)
        except UsageError as error:
            self.app.notify(
                clean(error.hint), title=clean(error.sentence), severity="warning", markup=False, timeout=8
            )
            return
        self.prompt_input.take(event.text)
        self.query_one("#empty").display = False
        turn = Turn(event.text, chat=request.chat)
        await self.conversation.mount(turn)
        for old in list(self.query(Turn))[:-TURNS_KEPT]:
            old.remove()
        self.conversation.anchor()
        self.answering = True
        self._answer = self._ask(turn, request)

    def _request(self, text: str) -> PromptRequest:
        """What is asked, with the fields as they stand. Raises UsageError."""
        tokens, temperature = self.query_one("#max-tokens", Input).value, self.query_one("#temperature", Input).value
        try:
            max_tokens, heat = int(tokens), float(temperature)
        except ValueError:
            max_tokens, heat = 0, 0.0
        if not 1 <= max_tokens <= MOST_TOKENS:
            raise UsageError("max tokens is not a number from 1", "for example 256")
        if not 0.0 <= heat <= 2.0:
            raise UsageError("the temperature is not between 0 and 2", "for example 0.7; 0 always says the same")
        earlier = tuple(
            pair
            for turn in self.query(Turn)
            if turn.chat and turn.answer
            for pair in (("user", turn.question), ("assistant", turn.answer))
        )
        return PromptRequest(
            text, chat=self.chat, earlier=earlier if self.chat else (), max_tokens=max_tokens, temperature=heat
        )

    @work(group="answer", exclusive=True, exit_on_error=False)
    async def _ask(self, turn: Turn, request: PromptRequest) -> None:
        """Stream one answer into a turn."""
        redraw = self.set_interval(REDRAW_SECONDS, turn.redraw)
        try:
            turn.done(await self._answer_of(turn, request))
        except asyncio.CancelledError:
            turn.stopped()
            raise
        except Exception as error:  # noqa: BLE001 — the app stays, the turn says what happened
            turn.failed(as_told(error))
            self.prompt_input.give_back(turn.question)
        finally:
            redraw.stop()
            self.answering = False

    async def _answer_of(self, turn: Turn, request: PromptRequest) -> Answer:
        """Ask; where a connection that was made earlier turns out to be dead, connect again and ask once more."""
        from llama_tui.jobs.prompt import prompt

        def emit(event: Event) -> None:
            if isinstance(event, TextDelta):
                turn.add(event.text)

        held = self._reached is not None and self._reached.done()
        try:
            return await prompt(await asyncio.shield(self._reach()), request, emit)
        except PromptRefused as error:
            if error.status:
                raise
            self._reached = None  # the line broke: the next prompt connects again
            if turn.answer or not held:
                raise
            self._say("connecting again …")
            return await prompt(await asyncio.shield(self._reach()), request, emit)

    # ---- keys

    @property
    def _mode_label(self) -> str:
        return "mode: chat" if self.chat else "mode: completion"

    def watch_chat(self) -> None:
        """Say which."""
        if not (mode := self.query_one_optional("#mode", Button)):
            return
        mode.label = self._mode_label
        self.prompt_input.placeholder = (
            "a message · Enter sends, ctrl+j begins a new line"
            if self.chat
            else "a text to continue · Enter sends, ctrl+j begins a new line"
        )

    @on(Button.Pressed, "#mode")
    def action_mode(self) -> None:
        """Chat or completion."""
        self.chat = not self.chat
        self.prompt_input.focus()

    @on(Input.Submitted)
    def _field_submitted(self) -> None:
        self.prompt_input.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Esc stops an answer; without one it leaves a field; without that it is the screen's."""
        if action == "stop":
            return self.answering
        if action == "leave_field":
            return isinstance(self.app.focused, Input | PromptInput | Button)
        return True

    def watch_answering(self) -> None:
        """The keys have changed."""
        self.refresh_bindings()

    def action_stop(self) -> None:
        """Stop the answer; what has come stays."""
        if self._answer:
            self._answer.cancel()

    def action_leave_field(self) -> None:
        """To the conversation, where the arrow keys scroll."""
        self.conversation.focus()

    def action_copy(self) -> None:
        """Copy the last answer."""
        answers = [turn.answer for turn in self.query(Turn) if turn.answer]
        if answers:
            self.app.copy_to_clipboard(answers[-1])
            self.app.notify("the last answer is in the clipboard, where the terminal allows it", markup=False)
        else:
            self.app.notify("there is no answer yet", severity="warning", markup=False)

    async def action_anew(self) -> None:
        """Forget the conversation."""
        if self.answering and self._answer:
            self._answer.cancel()
        await self.query(Turn).remove()
        self.query_one("#empty").display = True
        self.prompt_input.focus()
