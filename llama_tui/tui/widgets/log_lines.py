"""The lines of a file that grows: where each begins, what each says, which hold a text.

The file is read in slices of a given time, so whoever shows it can answer keys in between. Nothing of it is kept
but eight bytes for each line.
"""

from __future__ import annotations

import os
import re
import time
from array import array
from bisect import bisect_left, bisect_right
from pathlib import Path

from llama_tui.redact import clean

CHUNK = 256 * 1024
"""Bytes that are read at a time."""
LONGEST = 16 * 1024
"""Bytes of one line that are shown."""

_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
"""Where it occurs, what is shown is not what is stored: the line has to be cleaned before it is searched."""


class LogLines:
    """An index over one file, which may not be there yet, may grow, and may be replaced by a shorter one."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.matches: array[int] = array("Q")
        """Numbers of the lines that hold the needle, in order."""
        self.needle = ""
        self._fd = -1
        self._starts: array[int] = array("Q", [0])
        self._indexed = 0
        self._searched = 0
        self._pattern: re.Pattern[str] | None = None
        self._raw_pattern: re.Pattern[bytes] | None = None

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def count(self) -> int:
        """Lines found so far; an unfinished last one counts."""
        return len(self._starts) - (self._starts[-1] == self._indexed)

    @property
    def size(self) -> int:
        """Bytes read so far."""
        return self._indexed

    def look(self, seconds: float) -> bool:
        """Read and search on for about that long. True: there is more to do now."""
        until = time.monotonic() + seconds
        while self._read_some() or self._search_some():
            if time.monotonic() > until:
                return True
        return False

    def seek(self, needle: str) -> None:
        """Look for another text from now on: `matches` begins anew. Small letters also find capitals."""
        self.needle = needle
        self.matches = array("Q")
        self._searched = 0
        flags = re.IGNORECASE if needle == needle.lower() else re.NOFLAG
        self._pattern = re.compile(re.escape(needle), flags) if needle else None
        # Bytes know capitals of ASCII only, so any other needle is looked for in the cleaned text.
        self._raw_pattern = re.compile(re.escape(needle.encode()), flags) if needle.isascii() else None

    @property
    def pattern(self) -> re.Pattern[str] | None:
        """What is looked for; None when nothing is."""
        return self._pattern

    @property
    def searched(self) -> bool:
        """Every finished line has been searched."""
        return self._pattern is None or self._searched >= len(self._starts) - 1

    def text(self, number: int) -> str:
        """One line as it may be shown. Of a line that a progress bar has redrawn it is what it said last."""
        start = self._starts[number]
        end = self._starts[number + 1] - 1 if number + 1 < len(self._starts) else self._indexed
        if end - start <= LONGEST:
            return _shown(self._bytes(start, end))
        tail = self._bytes(end - LONGEST, end).rstrip(b"\r\n")
        if b"\r" in tail:
            return _shown(tail)
        return _shown(self._bytes(start, start + LONGEST)) + " …"

    def finished(self, number: int) -> bool:
        """The line has its end and will not change any more."""
        return number < len(self._starts) - 1

    def _bytes(self, start: int, end: int) -> bytes:
        return os.pread(self._fd, end - start, start) if self._fd >= 0 else b""

    def _read_some(self) -> bool:
        """Index the next chunk. False: there is none."""
        if self._fd < 0:
            if self.file is None:
                return False
            try:
                self._fd = os.open(self.file, os.O_RDONLY)
            except OSError:
                return False
        if os.fstat(self._fd).st_size < self._indexed:
            self._begin_anew()
        chunk = os.pread(self._fd, CHUNK, self._indexed)
        after = self._indexed + 1
        self._starts.extend([after + found.start() for found in re.finditer(b"\n", chunk)])
        self._indexed += len(chunk)
        return bool(chunk)

    def _begin_anew(self) -> None:
        self._starts = array("Q", [0])
        self._indexed = self._searched = 0
        self.matches = array("Q")

    def _search_some(self) -> bool:
        """Search the next lines, about a chunk of them. False: there is none."""
        if self._pattern is None or self.searched:
            return False
        first, whole = self._searched, len(self._starts) - 1
        last = min(bisect_right(self._starts, self._starts[first] + CHUNK) - 1, whole)
        self._searched = last = max(last, first + 1)
        start, end = self._starts[first], self._starts[last]
        raw = self._bytes(start, min(end, start + CHUNK))
        if self._raw_pattern is None or end - start > CHUNK or _CONTROL.search(raw):
            self.matches.extend(number for number in range(first, last) if self._pattern.search(self.text(number)))
            return True
        position = 0
        while found := self._raw_pattern.search(raw, position):
            number = bisect_right(self._starts, start + found.start(), first, last) - 1
            self.matches.append(number)
            position = self._starts[number + 1] - start
        return True

    def rank(self, number: int | None) -> int:
        """Which of the matches that line is, from 1; 0 when it is none."""
        if number is None:
            return 0
        index = bisect_left(self.matches, number)
        return index + 1 if index < len(self.matches) and self.matches[index] == number else 0

    def match_after(self, number: int) -> int | None:
        """The first match on a later line; None when there is none (so far)."""
        index = bisect_right(self.matches, number)
        return self.matches[index] if index < len(self.matches) else None

    def match_before(self, number: int) -> int | None:
        """The last match on an earlier line; None when there is none."""
        index = bisect_left(self.matches, number)
        return self.matches[index - 1] if index else None


def _shown(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace").rstrip("\r\n").rpartition("\r")[2]
    return clean(text).replace("\n", " ").expandtabs(8)
