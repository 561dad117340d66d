"""A plan as a person reads it: its rows, or the same as a shell script."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from llama_tui.core.plan import Plan, as_script, summary
from llama_tui.redact import clean
from llama_tui.tui.widgets.status_header import one_line

LABEL = 14
"""Cells for the label of a row."""


def rows(pairs: list[tuple[str, str]]) -> Table:
    """Label and value, a row each; a long value goes on under itself."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=LABEL, no_wrap=True)
    grid.add_column(ratio=1)
    for name, value in pairs:
        grid.add_row(Text(one_line(name), style="dim"), Text(one_line(value), overflow="fold"))
    return grid


class PlanView(VerticalScroll):
    """The plan for what is chosen now, or why there is none."""

    DEFAULT_CSS = """
    PlanView { height: auto; padding: 0 1; }
    PlanView > Static { width: 1fr; height: auto; }
    """

    plan: reactive[Plan | None] = reactive(None)
    trouble: reactive[str] = reactive("")
    """Why there is no plan."""
    keys: reactive[dict[str, str]] = reactive(dict)
    """Label of a row → the key that changes it."""
    hidden: reactive[frozenset[str]] = reactive(frozenset({"name"}))
    """Labels of rows that the screen shows elsewhere."""
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
            shown = [pair for pair in summary(self.plan) if pair[0] not in self.hidden]
            text.update(
                rows(
                    [
                        (name, f"{value}   [{self.keys[name]}]" if name in self.keys else value)
                        for name, value in shown
                    ]
                )
            )
