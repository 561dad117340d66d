"""Find the practice process, or start it: a background process of its own, one for a folder."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llama_tui.core.errors import CloudRefused
from llama_tui.practice.environment import for_the_process

if TYPE_CHECKING:
    from filelock import BaseFileLock

LINGER = 10.0
"""Seconds without a request after which it ends, once its last machine is gone."""
IDLE = 60.0
"""The same, if it never had a machine."""
START_SECONDS = 30.0
"""For it to answer after its start."""
ANSWER_SECONDS = 5.0
"""For one that runs to answer."""


@dataclass(frozen=True, slots=True)
class Practice:
    """Where the pretend Lambda is, and what opens it."""

    url: str
    key: str
    ssh_config: Path
    """Says where the machines' addresses really are."""


def read_note(folder: Path) -> Practice | None:
    """What the latest practice process has noted of itself. Its key stays the same from one to the next."""
    for name in ("practice.json", "practice.key.json"):
        try:
            noted = json.loads((folder / name).read_text())
            return Practice(noted["url"], noted["key"], folder / "ssh_config")
        except (OSError, ValueError, KeyError):
            continue
    return None


def write_note(folder: Path, url: str, key: str, pid: int) -> None:
    """Note where this process serves; the second file outlives it, for the key."""
    for name in ("practice.key.json", "practice.json"):
        new = folder / f"{name}.{pid}"
        new.touch(mode=0o600)
        new.write_text(json.dumps({"url": url, "key": key, "pid": pid}))
        new.replace(folder / name)


async def ensure(folder: Path, *, linger: float = LINGER, idle: float = IDLE) -> Practice:
    """The practice process of a folder, started if it does not run.

    Raises:
        CloudRefused: it does not come up.
    """
    from filelock import FileLock

    await asyncio.to_thread(_private, folder)
    lock = FileLock(folder / "start.lock", timeout=START_SECONDS, thread_local=False, mode=0o600)
    await asyncio.to_thread(lock.acquire)
    try:
        return await _running(folder) or await _start(folder, linger, idle)
    finally:
        lock.release()


def lifelong_lock(folder: Path, seconds: float) -> BaseFileLock:
    """The lock that a practice process holds as long as it lives, to be taken within some seconds."""
    from filelock import FileLock

    return FileLock(folder / "running.lock", timeout=seconds, thread_local=False, mode=0o600)


def _private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def _is_held(lock: BaseFileLock) -> bool:
    from filelock import Timeout

    try:
        with lock:
            return False
    except Timeout:
        return True


async def _running(folder: Path) -> Practice | None:
    """The one that lives. It may just be coming up or going: then its answer, or its end, is waited for."""
    started = time.monotonic()
    # After a kill the noted port may be somebody else's: only who holds the lock is shown the key.
    while await asyncio.to_thread(_is_held, lifelong_lock(folder, 0)):
        if found := await _answering(folder):
            return found
        if time.monotonic() - started > START_SECONDS:
            hint = f"its log is {folder / 'practice.log'}; end the process that {folder / 'practice.json'} names"
            raise CloudRefused("the practice cloud runs and does not answer", hint, code="practice/down")
        await asyncio.sleep(0.05)
    return None


async def _answering(folder: Path) -> Practice | None:
    if not (folder / "practice.json").exists() or (noted := read_note(folder)) is None:
        return None
    import httpx2

    headers = {"Authorization": f"Bearer {noted.key}", "User-Agent": "llama-tui"}
    try:
        async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=ANSWER_SECONDS) as client:
            answer = await client.get(f"{noted.url}/api/v1/regions", headers=headers)
            return noted if answer.status_code in (200, 429) else None
    except httpx2.HTTPError:
        return None


async def _start(folder: Path, linger: float, idle: float) -> Practice:
    (folder / "practice.json").unlink(missing_ok=True)
    log = folder / "practice.log"
    command = [
        sys.executable,
        "-P",
        "-m",
        "llama_tui.practice",
        str(folder),
        "--linger",
        str(linger),
        "--idle",
        str(idle),
    ]
    log.touch(mode=0o600)
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 — it is to outlive this event loop
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=folder,
            env=for_the_process(os.environ),
        )
    threading.Thread(target=process.wait, daemon=True).start()  # a client that lives longer keeps no zombie
    started = time.monotonic()
    while time.monotonic() - started < START_SECONDS and process.poll() is None:
        if found := await _answering(folder):
            return found
        await asyncio.sleep(0.05)
    words = log.read_text("utf-8", "replace").strip().splitlines()
    raise CloudRefused(
        f"the practice cloud does not come up: {words[-1] if words else 'no word of why'}",
        f"its log is {log}",
        code="practice/down",
    )
