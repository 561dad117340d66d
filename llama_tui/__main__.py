"""The command's first step: the app needs no command line, and a first frame should not wait for one to load."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama_tui.services import Services


def start() -> None:
    """Open the app where a terminal is and nothing was asked; else read the command line."""
    if len(sys.argv) == 1 and sys.stdin.isatty() and sys.stdout.isatty():
        gc.disable()  # until the first frame is there: nothing that is loaded for it can go
        from llama_tui.tui.app import run_app

        run_app(_services)
        return
    from llama_tui.cli.main import main

    main(prog_name="llama-tui")


def _services() -> Services:
    from llama_tui.services import Services

    return Services()


if __name__ == "__main__":
    start()
