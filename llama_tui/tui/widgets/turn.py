"""One question and its answer, with what the answer cost in tokens and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from llama_tui.core.errors import LlamaTuiError
from llama_tui.redact import clean

if TYPE_CHECKING:
    from llama_tui.jobs.prompt import Answer

FINISHED = {"stop": "finished (stop)", "length": "cut at max tokens (length)"}
"""`finish_reason` in words; any other is shown as it came."""


class Turn(Vertical):
    """Plain text all through: what a model writes is never markup.

    Args:
        question: what was asked.
        chat: it is a part of the chat that is sent along with the next question.
    """

    DEFAULT_CSS = """
    Turn {
        height: auto;
        margin-bottom: 1;
        & > .question { color: $text-primary; text-style: bold; border-left: thick $primary; padding-left: 1; }
        & > .answer { padding-left: 2; }
        & > .facts { color: $text-muted; padding-left: 2; }
        & > .failure { color: $text-error; padding-left: 2; display: none; }
        &.-failed > .failure { display: block; }
        Static { width: 1fr; height: auto; }
    }
    """

    def __init__(self, question: str, *, chat: bool) -> None:
        super().__init__()
        self.question = question
        self.chat = chat
        self._pieces: list[str] = []
        self._drawn = 0

    @property
    def answer(self) -> str:
        """What has come so far, clean."""
        return clean("".join(self._pieces))

    def compose(self) -> ComposeResult:
        """Question, answer, facts."""
        yield Static(clean(self.question), classes="question", markup=False)
        yield Static("", classes="answer", markup=False)
        yield Static("waiting for the first token …", classes="facts", markup=False)
        yield Static("", classes="failure", markup=False)

    def add(self, text: str) -> None:
        """Another piece of the answer; shown at the next `redraw`."""
        self._pieces.append(text)

    def redraw(self) -> None:
        """Show what has come since the last time."""
        if len(self._pieces) != self._drawn and self.is_mounted:
            self._drawn = len(self._pieces)
            self.query_one(".answer", Static).update(Content(self.answer.strip("\n")))
            self._facts("answering … Esc stops")

    def done(self, answer: Answer) -> None:
        """The answer is whole."""
        reason = answer.finish_reason
        facts = [*answer.figures, FINISHED.get(reason, clean(reason))]
        if not self._pieces:
            facts.insert(0, "an empty answer")
        self._end(" · ".join(fact for fact in facts if fact))

    def stopped(self) -> None:
        """It was stopped here; what has come stays."""
        self._end("stopped" if self._pieces else "stopped before the first token")

    def failed(self, error: LlamaTuiError) -> None:
        """It broke off; what has come stays."""
        self._end("broken off" if self._pieces else "no answer")
        if self.is_mounted:
            hint = f"\n{clean(error.hint)}" if error.hint else ""
            self.query_one(".failure", Static).update(Content(f"✕ {clean(error.sentence)}{hint}"))
            self.add_class("-failed")

    def _end(self, facts: str) -> None:
        self.redraw()
        self._facts(facts)

    def _facts(self, text: str) -> None:
        if self.is_mounted:
            self.query_one(".facts", Static).update(Content(text))
