"""Bytes of a log, as they come, to whole lines."""

from __future__ import annotations


class Lines:
    """Cuts a byte stream into lines; an unfinished last line waits for its end.

    A line that a progress bar has redrawn with carriage returns is what it said last.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> tuple[str, ...]:
        """The lines that these bytes complete. Bad UTF-8 is shown as �, never an error."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        return tuple(_text(line) for line in whole)

    def flush(self) -> tuple[str, ...]:
        """The unfinished last line, if there is one: nothing more will come."""
        rest, self._rest = self._rest, b""
        return (_text(rest),) if rest else ()


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
