"""Where a prompt is typed: Enter sends it, ctrl+j (which every terminal knows) begins a new line."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.message import Message
from textual.widgets import TextArea


class PromptInput(TextArea):
    """A text field that grows with its text; what was sent can be had back."""

    DEFAULT_CSS = """
    PromptInput {
        height: auto;
        min-height: 3;
        max-height: 10;
        border: round $panel-lighten-2;
        background: $background;
        padding: 0 1;
        &:focus { border: round $primary; }
    }
    """

    @dataclass
    class Sent(Message):
        """Enter was pressed."""

        prompt_input: PromptInput
        text: str

        @property
        def control(self) -> PromptInput:
            """The field."""
            return self.prompt_input

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, soft_wrap=True, show_line_numbers=False, highlight_cursor_line=False)
        self._sent: list[str] = []
        self._place = 0

    async def _on_key(self, event: events.Key) -> None:
        match event.key:
            case "enter":
                event.stop()
                event.prevent_default()
                self.post_message(self.Sent(self, self.text))
            case "ctrl+j" | "shift+enter" | "alt+enter":
                event.stop()
                event.prevent_default()
                self.insert("\n")
            case "up" if self._sent and (not self.text or self.text in self._sent[self._place : self._place + 1]):
                event.stop()
                event.prevent_default()
                self._place = max(0, self._place - 1)
                self._put(self._sent[self._place])
            case _:
                await super()._on_key(event)

    def take(self, text: str) -> None:
        """It is being asked: empty the field and remember it."""
        if self._sent[-1:] != [text]:
            self._sent.append(text)
        self._place = len(self._sent)
        self.clear()

    def give_back(self, text: str) -> None:
        """It could not be answered: put it back, unless something else is typed by now."""
        if not self.text:
            self._place = len(self._sent)
            self._put(text)

    def _put(self, text: str) -> None:
        self.text = text
        self.move_cursor(self.document.end)
