"""A log file as it grows, however long it is: only the lines in sight are read, cleaned and drawn."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.segment import Segment
from rich.text import Text
from textual import work
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from llama_tui.tui.widgets.log_lines import LogLines

SLICE_SECONDS = 0.008
"""How long a look at the file may hold up the screen."""
LOOK_SECONDS = 0.1
"""Between two looks at a file that has been read to its end, and between two redraws while it is read."""
MOST_COPIED = 10_000
"""Lines that one selection copies."""

_LEVELS = re.compile(r"\b(?:(ERROR|CRITICAL|FATAL|Error|Traceback)|(WARNING|WARN))\b")
_MARKER = re.compile(r"^=== \S+Z \S+ (?:begin|end|skip)")


class LogView(ScrollView, can_focus=True):
    """The lines of a file. It follows the end until someone scrolls up.

    Args:
        file: the log; it may not be there yet. None: not known yet.
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
        scrollbar-size-horizontal: 0;
        padding: 0 1;
        & > .log-view--error { color: $text-error; text-style: bold; }
        & > .log-view--warning { color: $text-warning; text-style: bold; }
        & > .log-view--marker { color: $foreground-muted; }
        & > .log-view--match { background: $warning; color: $background; }
        & > .log-view--current { background: $primary 40%; text-style: bold; }
    }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log-view--error",
        "log-view--warning",
        "log-view--marker",
        "log-view--match",
        "log-view--current",
    }

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", "Follow", id="log.follow", tooltip="Follow the end of the log again"),
        Binding("n", "next", "Next", show=False, id="log.next", tooltip="The next line that was found"),
        Binding("N", "previous", "Previous", show=False, id="log.previous", tooltip="The line found before"),
    ]

    following: reactive[bool] = reactive(True)
    only_matches: reactive[bool] = reactive(False)
    """Show only the lines that were found."""
    current: reactive[int | None] = reactive(None)
    """The line that `n` and `N` have gone to."""
    empty: reactive[str] = reactive("nothing yet")
    """What is said instead of lines when there are none."""

    @dataclass
    class Changed(Message):
        """There are more lines, or they are shown in another way."""

        log_view: LogView

        @property
        def control(self) -> LogView:
            """The view that changed."""
            return self.log_view

    def __init__(self, file: Path | None, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.lines = LogLines(file)
        self._strips: LRUCache[int, Strip] = LRUCache(2048)
        self._widest = 0
        self._placing = False

    def on_mount(self) -> None:
        """Begin to read."""
        self._read()

    def on_unmount(self) -> None:
        """Close the file."""
        self.lines.close()

    def open(self, file: Path) -> None:
        """Show another file, from its end."""
        needle = self.lines.needle
        self.lines.close()
        self.lines = LogLines(file)
        self.lines.seek(needle)
        self._widest, self.current, self.following = 0, None, True
        self._strips.clear()
        self._read()

    def search(self, needle: str) -> None:
        """Highlight that text; empty: none. `next` and `previous` go to it."""
        self.lines.seek(needle)
        self.current = None
        self.only_matches = self.only_matches and bool(needle)
        self._strips.clear()
        self._read()

    @property
    def rows(self) -> int:
        """Lines that can be shown now: all, or those that were found."""
        return len(self.lines.matches) if self.only_matches else self.lines.count

    def line_at(self, row: int) -> int:
        """The number of the line in that row."""
        return self.lines.matches[row] if self.only_matches else row

    def row_of(self, number: int) -> int:
        """The row of a line, or of the next one that is shown."""
        return bisect_left(self.lines.matches, number) if self.only_matches else number

    # ---- reading

    @work(group="read-log", exclusive=True, exit_on_error=False)
    async def _read(self) -> None:
        """Read to the end in slices, then go on as the file grows."""
        clock = asyncio.get_running_loop().time
        shown, drawn = (-1, -1, False), 0.0
        while True:
            more = self.lines.look(SLICE_SECONDS)
            state = (self.lines.size, len(self.lines.matches), self.lines.searched)
            if state != shown and (not more or clock() - drawn > LOOK_SECONDS):
                shown, drawn = state, clock()
                self._place()
                self.post_message(self.Changed(self))
            await asyncio.sleep(0 if more else LOOK_SECONDS)

    def _place(self, line: int | None = None) -> None:
        """Make room for all rows, and go to the end (following) or to a line, if it is given."""
        self._placing = True
        try:
            self.virtual_size = Size(self._widest, self.rows)
            if self.following:
                self.scroll_to(y=self.max_scroll_y, animate=False, force=True)
            elif line is not None:
                row = self.row_of(line)
                if not self.scroll_offset.y <= row < self.scroll_offset.y + self.size.height - 1:
                    self.scroll_to(y=row - self.size.height // 3, animate=False, force=True)
            self.refresh()
        finally:
            self._placing = False

    # ---- moving

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolling away from the end stops following; coming back to it follows again."""
        super().watch_scroll_y(old_value, new_value)
        if not self._placing:
            self.following = round(new_value) >= self.max_scroll_y

    def watch_show_vertical_scrollbar(self) -> None:
        """A scrollbar that has just appeared does not know yet where it is."""
        self.call_after_refresh(lambda: setattr(self.vertical_scrollbar, "position", self.scroll_y))

    def watch_following(self) -> None:
        """Say so."""
        if self.is_attached:
            self.post_message(self.Changed(self))

    def on_mouse_scroll_up(self) -> None:
        """The wheel stops following at once, not when its scrolling is under way."""
        self._stay()

    def _stay(self) -> None:
        if self.max_scroll_y > 0:
            self.following = False

    def action_scroll_up(self) -> None:
        """One line up."""
        self._stay()
        self.scroll_to(y=self.scroll_offset.y - 1, animate=False)

    def action_page_up(self) -> None:
        """One page up."""
        self._stay()
        self.scroll_to(y=self.scroll_offset.y - self.size.height, animate=False)

    def action_page_down(self) -> None:
        """One page down."""
        self.scroll_to(y=self.scroll_offset.y + self.size.height, animate=False)

    def action_scroll_home(self) -> None:
        """To the first line."""
        self._stay()
        self.scroll_to(y=0, animate=False)

    def action_scroll_end(self) -> None:
        """To the last line, and follow it."""
        self.following = True
        self._place()

    def action_follow(self) -> None:
        """Follow the end again."""
        self.action_scroll_end()

    def on_resize(self) -> None:
        """The end stays in sight."""
        self._place()

    def action_next(self) -> None:
        """To the next line found; after the last to the first."""
        here = (
            self.current if self.current is not None else self.line_at(self.scroll_offset.y) - 1 if self.rows else 0
        )
        self._go(self.lines.match_after(here), first=True)

    def action_previous(self) -> None:
        """To the line found before; before the first to the last."""
        here = self.current
        if here is None:
            last = min(self.scroll_offset.y + self.size.height, self.rows)
            here = self.line_at(last - 1) + 1 if last else 0
        self._go(self.lines.match_before(here), first=False)

    def _go(self, number: int | None, *, first: bool) -> None:
        matches = self.lines.matches
        if number is None and matches:
            number = matches[0 if first else -1]
        if number is not None:
            self._stay()
            self._show(number)

    def _show(self, number: int) -> None:
        self.current = number
        self._strips.clear()
        self._place(number)
        self.post_message(self.Changed(self))

    def action_only_matches(self) -> None:
        """Only the lines found, or all; what was in sight stays there."""
        anchor = self.current
        if anchor is None and self.rows:
            anchor = self.line_at(min(self.scroll_offset.y, self.rows - 1))
        self.only_matches = not self.only_matches and bool(self.lines.needle)
        self._place(anchor)
        self.post_message(self.Changed(self))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Follow is offered to who does not."""
        return not self.following if action == "follow" else True

    # ---- drawing

    def notify_style_update(self) -> None:
        """Draw anew in other colours."""
        super().notify_style_update()
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        """One row in sight."""
        scroll_x, scroll_y = self.scroll_offset
        row, width = scroll_y + y, self.size.width
        if row == 0 and not self.rows:
            style = self.get_component_rich_style("log-view--marker")
            said = "no line has that; & shows all" if self.only_matches else self.empty
            return Strip([Segment(said, style)]).crop_extend(0, width, self.rich_style)
        if row >= self.rows:
            return Strip.blank(width, self.rich_style)
        strip = self._strip(self.line_at(row), row)
        return strip.crop_extend(scroll_x, scroll_x + width, self.rich_style).apply_offsets(scroll_x, row)

    def _strip(self, number: int, row: int) -> Strip:
        selection = self.text_selection
        if selection is None and (known := self._strips.get(number)):
            return known
        text = Text(self.lines.text(number), no_wrap=True, end="")
        text.stylize(self.rich_style)
        self._colour(text, number)
        if selection is not None and (span := selection.get_span(row)) is not None:
            start, end = span
            style = self.screen.get_component_rich_style("screen--selection")
            text.stylize(style, start, len(text) if end == -1 else end)
        strip = Strip(text.render(self.app.console))
        self._widest = max(self._widest, strip.cell_length)
        if selection is None and self.lines.finished(number):
            self._strips[number] = strip
        return strip

    def _colour(self, text: Text, number: int) -> None:
        style = self.get_component_rich_style
        if _MARKER.match(text.plain):
            text.stylize(style("log-view--marker", partial=True))
        for found in _LEVELS.finditer(text.plain):
            level = "log-view--error" if found.group(1) else "log-view--warning"
            text.stylize(style(level, partial=True), *found.span())
        if number == self.current:
            text.stylize(style("log-view--current", partial=True))
        if self.lines.pattern:
            for found in self.lines.pattern.finditer(text.plain):
                text.stylize(style("log-view--match", partial=True), *found.span())

    # ---- copying

    @property
    def allow_select(self) -> bool:
        """Text can be marked with the mouse."""
        return True

    def selection_updated(self, selection: Selection | None) -> None:
        """Draw what is marked."""
        self._strips.clear()
        self.refresh()

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The marked text, as it is shown."""
        first = selection.start.y if selection.start else 0
        last = min(selection.end.y if selection.end else self.rows - 1, self.rows - 1, first + MOST_COPIED)
        pieces = []
        for row in range(first, last + 1):
            start, end = selection.get_span(row) or (0, 0)
            text = self.lines.text(self.line_at(row))
            pieces.append(text[start : len(text) if end == -1 else end])
        return "\n".join(pieces), "\n"
