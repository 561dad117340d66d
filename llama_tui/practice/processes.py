"""The processes of a practice machine: find every one, and end it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from llama_tui.practice.environment import MARK

TERM_LIMIT = 3.0
"""Seconds from TERM to KILL."""
KILL_LIMIT = 5.0
"""Seconds from KILL until what is left is given up."""
LOOK = 0.05
"""Seconds between two looks."""
HAS_PROC = Path("/proc/self/environ").exists()
"""Whether the environment of processes can be read, as on Linux."""


def _marked(machine: str) -> set[int]:
    """Processes with the machine's mark, by /proc: those of other users cannot be read and are not ours."""
    mark = f"{MARK}={machine}".encode()
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with suppress(OSError):
                if mark in Path(entry.path, "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
    return found - {os.getpid()}


def _groups(home: Path, spawned: Iterable[int]) -> set[int]:
    """Living process groups, where there is no /proc: those that we spawned and those of pid files."""
    groups = set(spawned)
    for file in home.glob(".llama-tui/*/*.pid"):
        with suppress(OSError, ValueError):
            groups.add(os.getpgid(int(file.read_text())))
    return {group for group in groups if group not in (0, 1, os.getpgid(0)) and group_lives(group)}


def group_lives(group: int) -> bool:
    """Whether a process group has a member."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return sys.platform != "darwin"  # macOS says so of a group of zombies
    return True


async def end_all(
    machine: str,
    home: Path,
    spawned: Iterable[int] = (),
    *,
    term_limit: float = TERM_LIMIT,
    kill_limit: float = KILL_LIMIT,
) -> bool:
    """End every process of a machine, detached or not: TERM, then KILL. False when something stays.

    Args:
        machine: its id, which its processes carry in their environment.
        home: its user's home, where pid files are.
        spawned: process groups that were started for it.
        term_limit: seconds that they have to end by themselves.
        kill_limit: seconds after which what is left is given up.
    """
    by_proc = HAS_PROC
    kill = os.kill if by_proc else os.killpg
    started = time.monotonic()
    told: set[int] = set()
    while True:
        found = await asyncio.to_thread(_marked, machine) if by_proc else _groups(home, spawned)
        if not found:
            return True
        waited = time.monotonic() - started
        if waited > term_limit + kill_limit:
            return False
        for one in found:
            with suppress(ProcessLookupError, PermissionError):
                if waited > term_limit:
                    kill(one, signal.SIGKILL)
                elif one not in told:
                    kill(one, signal.SIGTERM)
        told |= found
        await asyncio.sleep(LOOK)
