"""A log file of any size as numbered lines, read where it is looked at: no line is kept, only counts.

Newlines are counted a block at a time, so a line is found by its number with a bisection and one read. 100 MB are
counted in a fraction of a second and cost 13 KB of memory. The file may grow, be replaced, or not exist yet.
"""

from __future__ import annotations

import os
import re
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from pathlib import Path

from llama_tui.redact import clean

BLOCK = 64 * 1024
"""Bytes between two counts."""
SLICE = 2 * 1024 * 1024
"""Bytes that are counted or searched at a time: some milliseconds."""
LONGEST = 16 * 1024
"""Bytes of one line that are shown; a longer one is cut."""
BLOCKS_KEPT = 16
"""Blocks whose newlines are remembered."""

_NEWLINE = re.compile(b"\n")
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
"""Where it occurs, what is shown is not what is stored."""


class LogFile:
    """The lines of a file that another process may be writing.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._inode = 0
        self._forget()

    def _forget(self) -> None:
        self.size = 0
        """Bytes counted so far."""
        self._newlines = 0
        self._before = array("Q", [0])
        """Newlines before each block."""
        self._ends_whole = True
        self._blocks: OrderedDict[int, list[int]] = OrderedDict()

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def line_count(self) -> int:
        """Lines counted so far; an unfinished last line counts."""
        return self._newlines + (0 if self._ends_whole else 1)

    def count_on(self) -> tuple[bool, bool]:
        """Count the next slice of what is new. Returns (anything changed, there is more to count)."""
        changed = self._open()
        if self._fd < 0:
            return changed, False
        end = os.fstat(self._fd).st_size
        if end < self.size:
            self._forget()
            changed = True
        if end == self.size:
            return changed, False
        until = min(end, (self.size // BLOCK) * BLOCK + SLICE)
        position = self.size
        for chunk in _blocks(os.pread(self._fd, until - position, position), position):
            self._newlines += chunk.count(b"\n")
            position += len(chunk)
            self._ends_whole = chunk.endswith(b"\n")
            if position % BLOCK == 0:
                self._before.append(self._newlines)
        self._blocks.pop(self.size // BLOCK, None)
        changed, self.size = changed or position != self.size, position
        return changed, position < end

    def _open(self) -> bool:
        """Open the file where it appeared or was replaced; True when it is another one."""
        try:
            inode = self.path.stat().st_ino
        except OSError:
            return False
        if self._fd >= 0 and inode == self._inode:
            return False
        self.close()
        try:
            self._fd = os.open(self.path, os.O_RDONLY)
        except OSError:
            return False
        self._inode = inode
        self._forget()
        return True

    def line(self, number: int) -> str:
        """A line by its number from 0, as it may be shown: clean, on one line, what a progress bar said last."""
        start, end = self._start_of(number), self._start_of(number + 1)
        raw = os.pread(self._fd, min(end - start, LONGEST), start) if self._fd >= 0 else b""
        if end - start > LONGEST:
            tail = os.pread(self._fd, LONGEST, end - LONGEST)
            raw = tail if b"\r" in tail.rstrip(b"\r\n") else raw + "…".encode()
        return as_shown(raw)

    def is_finished(self, number: int) -> bool:
        """The line has its end: it will not change any more."""
        return number < self._newlines

    def _start_of(self, number: int) -> int:
        """The offset where a line begins: after newline `number - 1`; the end of the file after the last."""
        if number <= 0:
            return 0
        if number > self._newlines:
            return self.size
        block = bisect_left(self._before, number) - 1
        return block * BLOCK + self._block(block)[number - self._before[block] - 1] + 1

    def _block(self, block: int) -> list[int]:
        """Where the newlines of a block are."""
        if (known := self._blocks.get(block)) is not None:
            self._blocks.move_to_end(block)
            return known
        data = os.pread(self._fd, min(BLOCK, self.size - block * BLOCK), block * BLOCK)
        known = self._blocks[block] = [found.start() for found in _NEWLINE.finditer(data)]
        if len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return known


class Matches:
    """The numbers of the lines that hold a text, found a slice at a time and continued as the file grows.

    A text without capitals is found in either case (of ASCII). What counts is what is shown: a line with control
    characters is cleaned before it is searched.
    """

    def __init__(self, file: LogFile, text: str) -> None:
        self.text = text
        self.any_case = text == text.lower()
        self.lines = array("Q")
        """Ascending."""
        self._file = file
        self._needle = text.encode()
        self._position = 0
        self._number = 0

    def search_on(self) -> tuple[bool, bool]:
        """Search the next slice. Returns (something was found, there is more to search)."""
        file = self._file
        if file.size < self._position:
            self._position = self._number = 0
            self.lines = array("Q")
        if file.size == self._position or file._fd < 0:
            return False, False
        data = os.pread(file._fd, min(SLICE, file.size - self._position), self._position)
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) < SLICE:
            return False, False  # the unfinished last line waits for its end
        data = data[: cut or len(data)]
        self._position += len(data)
        before = len(self.lines)
        lines = (data.lower() if self.any_case else data).split(b"\n")
        if data.endswith(b"\n"):
            lines.pop()
        needle = self._needle
        if _CONTROL.search(data):
            found = [number for number, line in enumerate(lines, self._number) if self._is_shown_in(line)]
        else:
            found = [number for number, line in enumerate(lines, self._number) if needle in line]
        self.lines.extend(found)
        self._number += data.count(b"\n")
        return len(self.lines) != before, self._position < file.size

    def _is_shown_in(self, line: bytes) -> bool:
        if not _CONTROL.search(line):
            return self._needle in line
        shown = as_shown(line)
        return self.text in (shown.lower() if self.any_case else shown)

    def after(self, number: int) -> int | None:
        """The first matching line after that one; from the top again after the last; None without any."""
        if not self.lines:
            return None
        place = bisect_right(self.lines, number)
        return self.lines[place % len(self.lines)]

    def before(self, number: int) -> int | None:
        """The last matching line before that one; from the end again before the first; None without any."""
        return self.lines[bisect_left(self.lines, number) - 1] if self.lines else None

    def place(self, number: int) -> int:
        """How many matching lines there are up to that one, with it."""
        return bisect_right(self.lines, number)

    def spans(self, shown: str) -> list[tuple[int, int]]:
        """Where the text is in a line as it is shown."""
        pattern = re.compile(re.escape(self.text), re.IGNORECASE if self.any_case else 0)
        return [found.span() for found in pattern.finditer(shown)]


def as_shown(raw: bytes) -> str:
    """One line of a log as it may be shown."""
    text = raw.decode("utf-8", "replace").rstrip("\r\n").rpartition("\r")[2]
    return clean(text).replace("\n", " ").expandtabs(8)


def _blocks(data: bytes, position: int) -> list[bytes]:
    """Bytes that begin at an offset, cut where blocks end."""
    first = BLOCK - position % BLOCK
    return [data[:first], *(data[at : at + BLOCK] for at in range(first, len(data), BLOCK))]
