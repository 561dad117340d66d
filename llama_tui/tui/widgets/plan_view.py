"""A plan as a person reads it: its rows, or the same as a shell script."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from llama_tui.core.plan import Plan, as_script, summary
from llama_tui.redact import clean
from llama_tui.tui.widgets.status_header import one_line

LABEL = 15
"""Cells for the label of a row."""


def rows(pairs: list[tuple[str, str]], label: int = LABEL) -> Content:
    """Label and value, a line each."""
    return Content("\n").join(
        Content.assemble((f"{one_line(name):<{label}}", "$text-muted"), one_line(value)) for name, value in pairs
    )


class PlanView(VerticalScroll):
    """The plan for what is chosen now, or why there is none."""

    DEFAULT_CSS = """
    PlanView { height: auto; min-height: 3; padding: 0 1; }
    PlanView > Static { width: 1fr; height: auto; }
    """

    plan: reactive[Plan | None] = reactive(None)
    trouble: reactive[str] = reactive("")
    """Why there is no plan."""
    script: reactive[bool] = reactive(False)
    """Show the steps as a shell script."""

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static(markup=False)

    def watch_plan(self) -> None:
        """Another plan."""
        self._show()

    def watch_trouble(self) -> None:
        """Another reason."""
        self._show()

    def watch_script(self) -> None:
        """The other way to show it, from its top."""
        self._show()
        self.scroll_home(animate=False)

    def on_mount(self) -> None:
        """Show what was set before."""
        self._show()

    def _show(self) -> None:
        if not self.is_mounted:
            return
        text = self.query_one(Static)
        if self.plan is None:
            text.update(Content.styled(clean(self.trouble), "$text-warning"))
        elif self.script:
            text.update(Content(clean(as_script(self.plan))))
        else:
            text.update(rows([pair for pair in summary(self.plan) if pair[0] != "name"]))
