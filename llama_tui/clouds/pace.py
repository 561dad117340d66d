"""Whose turn it is: the calls of every llama-tui of this computer, kept apart as an account's rate limit wants it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path
from typing import Literal

import msgspec

from llama_tui.redact import Secret

LOCK_SECONDS = 10.0
"""How long a turn waits for another process to note its own; the note takes a millisecond."""

LONGEST_WAIT = 600.0
"""Seconds; a turn noted further ahead than this is no turn but a broken note."""


class _Notes(msgspec.Struct):
    """The turns that were handed out, in seconds since the epoch."""

    written: float = 0.0
    calls: list[float] = []
    launch: float = 0.0
    """The latest."""


def account_of(key: Secret) -> str:
    """A name for the account of an API key that tells nothing of the key: 12 hex digits of its SHA-256."""
    return hashlib.sha256(key.reveal().encode()).hexdigest()[:12]


class Pace:
    """Hands out turns, so many seconds apart, in the order of asking; the folder is shared by all processes.

    The limits are the account's, not the process': about one call a second, one launch in 12 s
    (lambda-cloud-api.md §1.4). A folder that cannot be written costs the sharing, not the spacing.

    Args:
        folder: where the note of each account lies.
        calls: seconds between two calls; 0: never wait for anything.
        launches: seconds between two launches. A launch is a call, too.
    """

    def __init__(self, folder: Path, *, calls: float = 1.05, launches: float = 13.0) -> None:
        self._folder = folder
        self._calls = calls
        self._launches = launches
        self._own = _Notes()
        self._in_order = asyncio.Lock()

    async def turn(self, kind: Literal["call", "launch"], account: str = "account") -> None:
        """Return when it is this caller's turn."""
        if not self._calls:
            return
        # Threads may overtake each other on the way to the file lock; the callers of this process must not.
        async with self._in_order:
            wait = await asyncio.to_thread(self._reserve, kind, account)
        await asyncio.sleep(wait)

    def _reserve(self, kind: Literal["call", "launch"], account: str) -> float:
        """Note a turn and return how many seconds away it is."""
        from filelock import FileLock

        note = self._folder / f"pace-{account}.json"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(note.with_suffix(".lock"), timeout=LOCK_SECONDS, poll_interval=0.01, mode=0o600):
                notes = _read(note)
                wait = self._next(notes, kind, time.time())
                note.write_bytes(msgspec.json.encode(notes))
                return wait
        except OSError:
            return self._next(self._own, kind, time.time())

    def _next(self, notes: _Notes, kind: Literal["call", "launch"], now: float) -> float:
        # A clock that was set back would make everybody wait for the old time: the notes move with it.
        back = max(notes.written - now, 0.0)
        taken = sorted(at - back for at in notes.calls)
        taken = [at for at in taken if now - self._calls < at < now + LONGEST_WAIT]
        launched = notes.launch - back
        turn = now
        if kind == "launch" and launched < now + LONGEST_WAIT:
            turn = max(turn, launched + self._launches)
        # The first gap that is wide enough: a call need not queue behind a launch that waits for its 13 s.
        for at in taken:
            if at - turn >= self._calls:
                break
            if at > turn - self._calls:
                turn = at + self._calls
        notes.written = now
        notes.calls = [*taken, turn]
        notes.launch = turn if kind == "launch" else launched
        return turn - now


def _read(note: Path) -> _Notes:
    try:
        return msgspec.json.decode(note.read_bytes(), type=_Notes)
    except (FileNotFoundError, msgspec.MsgspecError):
        return _Notes()
