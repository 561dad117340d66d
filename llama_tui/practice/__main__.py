"""The practice process: `python -m llama_tui.practice FOLDER` serves the pretend Lambda until nobody needs it."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import secrets
import socket
import sys
import time
from pathlib import Path

import uvicorn
from filelock import Timeout

from llama_tui.practice.account import Account
from llama_tui.practice.api import app
from llama_tui.practice.process import IDLE, LINGER, lifelong_lock, read_note, write_note
from llama_tui.practice.switches import Timing

LOCK_SECONDS = 2.0
"""For a client that looks at this moment whether one runs."""
LOOK_SECONDS = 0.5
"""Between two looks whether it is still needed."""


async def serve(folder: Path, linger: float, idle: float) -> None:
    """Serve until the last machine is gone and nobody has asked for `linger` seconds.

    Without a machine ever, until nobody has asked for `idle` seconds.
    """
    earlier = read_note(folder)
    key = earlier.key if earlier else f"practice-{secrets.token_urlsafe(24)}"
    asked = time.monotonic()

    def heard() -> None:
        nonlocal asked
        asked = time.monotonic()

    account = Account(folder, Timing())
    await account.take_up()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        config = uvicorn.Config(
            app(account, key, heard), http="h11", ws="none", lifespan="off", log_level="critical", access_log=False
        )
        server = uvicorn.Server(config)
        # A client may ask as soon as the note is there: the socket listens already.
        write_note(folder, f"http://127.0.0.1:{listening.getsockname()[1]}", key, os.getpid())
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        loading = asyncio.to_thread(importlib.import_module, "llama_tui.practice.machines")
        await asyncio.gather(loading, return_exceptions=True)
        while not serving.done():
            await asyncio.sleep(LOOK_SECONDS)
            quiet = time.monotonic() - asked
            if account.idle() and quiet > (linger if account.had_machines else idle):
                (folder / "practice.json").unlink(missing_ok=True)
                server.should_exit = True
        await serving


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m llama_tui.practice", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--linger", type=float, default=LINGER)
    parser.add_argument("--idle", type=float, default=IDLE)
    given = parser.parse_args()
    os.umask(0o077)
    given.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    given.folder.chmod(0o700)
    try:
        with lifelong_lock(given.folder, LOCK_SECONDS):
            asyncio.run(serve(given.folder.absolute(), given.linger, given.idle))
    except Timeout:
        sys.exit(f"the practice cloud of {given.folder} runs already")


if __name__ == "__main__":
    main()
