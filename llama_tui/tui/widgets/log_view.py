"""A log file as it grows, however long it is: only the lines in sight are read, cleaned and drawn."""

from __future__ import annotations

import asyncio
import re
import time
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events, work
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from llama_tui.tui.log_file import LogFile, Matches

SLICE_SECONDS = 0.01
"""How long a look at the file may hold up the screen."""
LOOK_SECONDS = 0.1
"""Between two looks at a file that has been read to its end, and between two redraws while it is read."""
MOST_COPIED = 10_000
"""Lines that one selection copies."""

_LEVELS = re.compile(r"\b(?:(ERROR|CRITICAL|FATAL|[A-Za-z]*Error|Traceback)|(WARNING|WARN))\b")
_MARKER = re.compile(r"^=== \S+Z \S+ (?:begin|end|skip)")


class LogView(ScrollView, can_focus=True):
    """The lines of a file. It follows the end until someone scrolls up.

    Args:
        path: the log; it may not be there yet. None: no log.
    """

    HELP = """
    ## Log

    It follows the end of the log. Scroll up and it waits; `f` or `end` follows again.
    `/` searches, `n` and `N` go to the next and the previous line found, `&` shows only those lines.
    Small letters also find capitals.
    """

    DEFAULT_CSS = """
    LogView {
        background: $surface;
        color: $foreground;
        scrollbar-size-horizontal: 1;
        scrollbar-size-vertical: 1;
        & > .log-view--error { color: $text-error; text-style: bold; }
        & > .log-view--warning { color: $text-warning; text-style: bold; }
        & > .log-view--marker { color: $text-muted; }
        & > .log-view--match { background: $warning; color: $background; }
        & > .log-view--current { background: $primary 30%; }
    }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log-view--error", "log-view--warning", "log-view--marker", "log-view--match", "log-view--current",
    }  # fmt: skip

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", "Follow", id="log.follow", tooltip="Follow the end of the log, or stay here"),
        Binding("n", "next", "Next", show=False, id="log.next", tooltip="The next line that was found"),
        Binding("N", "previous", "Previous", show=False, id="log.previous", tooltip="The line found before"),
    ]

    following: reactive[bool] = reactive(True)
    only_matches: reactive[bool] = reactive(False)
    """Show only the lines that were found."""
    current: reactive[int | None] = reactive[int | None](None)
    """The line that `n` and `N` have gone to."""

    @dataclass
    class Changed(Message):
        """There are more lines, or they are shown in another way."""

        log_view: LogView

        @property
        def control(self) -> LogView:
            """The view that changed."""
            return self.log_view

    def __init__(self, path: Path | None = None, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.file = LogFile(path or Path("/nonexistent"))
        self.matches: Matches | None = None
        self.reading = False
        """There is more to count or to search right now."""
        self._strips: LRUCache[tuple[int, bool], Strip] = LRUCache(1024)
        self._widest = 0
        self._wanted: int | None = None
        """Where a search that has found nothing yet is to go from."""

    def on_mount(self) -> None:
        """Begin to read."""
        self._read()

    def on_unmount(self) -> None:
        """Close the file."""
        self.file.close()

    def open(self, path: Path) -> None:
        """Show another file, from its end; a search is taken along."""
        if path == self.file.path:
            return
        self.file.close()
        self.file = LogFile(path)
        self._widest, self.current, self.following = 0, None, True
        if self.matches:
            self.matches = Matches(self.file, self.matches.text)
        self._redraw()

    def search(self, text: str) -> None:
        """Highlight a text and go to the nearest line above the end of what is in sight; empty: show all again."""
        self.matches = Matches(self.file, text) if text else None
        self.current = None
        self.only_matches = self.only_matches and bool(text)
        self._wanted = self.line_at(min(self.scroll_offset.y + self.size.height, self.rows) - 1) if text else None
        self._redraw()

    @property
    def rows(self) -> int:
        """Lines that are shown: all, or those that were found."""
        return len(self.matches.lines) if self.only_matches and self.matches else self.file.line_count

    def line_at(self, row: int) -> int:
        """The number of the line in that row."""
        if self.only_matches and self.matches:
            return self.matches.lines[row] if 0 <= row < len(self.matches.lines) else 0
        return max(row, 0)

    def row_of(self, number: int) -> int:
        """The row of a line, or of the next one that is shown."""
        return bisect_left(self.matches.lines, number) if self.only_matches and self.matches else number

    # ---- reading

    @work(group="read-log", exclusive=True, exit_on_error=False)
    async def _read(self) -> None:
        """Read to the end in slices, then go on as the file grows."""
        drawn = 0.0
        changed = False
        while True:
            found, self.reading = self._look()
            changed = changed or found
            if changed and (not self.reading or time.monotonic() - drawn > LOOK_SECONDS):
                self._grow()
                drawn, changed = time.monotonic(), False
            await asyncio.sleep(0 if self.reading else LOOK_SECONDS)

    def _look(self) -> tuple[bool, bool]:
        """Count and search for a slice of time. Returns (anything changed, there is more)."""
        until = time.monotonic() + SLICE_SECONDS
        changed, more = self.file.count_on()
        while more and time.monotonic() < until:
            _, more = self.file.count_on()
        searching = False
        if self.matches and not more:
            found, searching = self.matches.search_on()
            while searching and time.monotonic() < until:
                again, searching = self.matches.search_on()
                found = found or again
            changed = changed or found or (self._wanted is not None and not searching)
        return changed or self.reading != (more or searching), more or searching

    def _grow(self) -> None:
        """Show what the file has now."""
        self.virtual_size = Size(self._widest, self.rows)
        if self._wanted is not None and self.matches and not self.reading:
            number, self._wanted = self.matches.before(self._wanted + 1), None
            if number is not None:
                self._go_to(number)
        if self.following:
            self.scroll_end(animate=False, immediate=True, x_axis=False)
        self.refresh()
        self.post_message(self.Changed(self))

    def _redraw(self) -> None:
        self._strips.clear()
        self._grow()

    def on_resize(self, _: events.Resize) -> None:
        """Stay at the end."""
        if self.following:
            self.scroll_end(animate=False, immediate=True, x_axis=False)

    # ---- moving

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolling up stops following; scrolling to the end follows again."""
        super().watch_scroll_y(old_value, new_value)
        self.following = round(new_value) >= self.max_scroll_y

    def watch_following(self) -> None:
        """Say so."""
        self.post_message(self.Changed(self))

    def watch_only_matches(self) -> None:
        """The same lines stay in sight."""
        self._redraw()
        if self.current is not None:
            self._go_to(self.current)

    def action_follow(self) -> None:
        """Follow the end, or stay here."""
        self.following = not self.following
        if self.following:
            self.scroll_end(animate=False, immediate=True, x_axis=False)

    def action_next(self) -> None:
        """To the next line that was found; from the top again after the last."""
        if self.matches:
            here = self.current if self.current is not None else self.line_at(self.scroll_offset.y)
            self._go_to(self.matches.after(here))

    def action_previous(self) -> None:
        """To the line found before; from the end again before the first."""
        if self.matches:
            here = self.current if self.current is not None else self.line_at(self.scroll_offset.y)
            self._go_to(self.matches.before(here))

    def _go_to(self, number: int | None) -> None:
        if number is None:
            return
        self.current = number
        row, height = self.row_of(number), max(self.size.height, 1)
        if not self.scroll_offset.y <= row < self.scroll_offset.y + height:
            self.following = False
            self.scroll_to(y=max(0, row - height // 2), animate=False, immediate=True)
        self.refresh()
        self.post_message(self.Changed(self))

    # ---- drawing

    def render_line(self, y: int) -> Strip:
        """One row of what is in sight."""
        scroll_x, scroll_y = self.scroll_offset
        row, width = scroll_y + y, self.size.width
        if row >= self.rows:
            return Strip.blank(width, self.rich_style)
        number = self.line_at(row)
        strip = self._strip(number, row)
        if strip.cell_length > self._widest:
            self._widest = strip.cell_length
            self.call_after_refresh(self._widen)
        style = self.rich_style + self._component(number)
        return strip.crop_extend(scroll_x, scroll_x + width, style).apply_offsets(scroll_x, row)

    def _widen(self) -> None:
        self.virtual_size = Size(self._widest, self.rows)

    def _component(self, number: int) -> Style:
        return self.get_component_rich_style("log-view--current") if number == self.current else Style.null()

    def _strip(self, number: int, row: int) -> Strip:
        selection = self.text_selection
        key = (number, number == self.current)
        if selection is None and (known := self._strips.get(key)) is not None:
            return known
        shown = self.file.line(number)
        text = Text(shown, no_wrap=True, end="")
        text.stylize(self.rich_style)
        if _MARKER.match(shown):
            text.stylize(self.get_component_rich_style("log-view--marker"))
        elif level := _LEVELS.search(shown):
            name = "log-view--error" if level.group(1) else "log-view--warning"
            text.stylize(self.get_component_rich_style(name, partial=True), *level.span())
        text.stylize(self._component(number))
        for start, end in self.matches.spans(shown) if self.matches else ():
            text.stylize(self.get_component_rich_style("log-view--match"), start, end)
        if selection is not None and (span := selection.get_span(row)) is not None:
            start, end = span
            style = self.screen.get_component_rich_style("screen--selection")
            text.stylize(style, start, len(shown) if end == -1 else end)
        strip = Strip(text.render(self.app.console))
        if selection is None and self.file.is_finished(number):
            self._strips[key] = strip
        return strip

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text, of at most MOST_COPIED lines."""
        first = selection.start.y if selection.start else 0
        last = min(selection.end.y if selection.end else self.rows - 1, self.rows - 1, first + MOST_COPIED - 1)
        lines = [self.file.line(self.line_at(row)) for row in range(first, last + 1)]
        if not lines:
            return None
        if selection.end and last == selection.end.y:
            lines[-1] = lines[-1][: selection.end.x]
        if selection.start:
            lines[0] = lines[0][selection.start.x :]
        return "\n".join(lines), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Draw what is selected."""
        self.refresh()

    def notify_style_update(self) -> None:
        """Another theme: draw anew."""
        super().notify_style_update()
        self._strips.clear()
