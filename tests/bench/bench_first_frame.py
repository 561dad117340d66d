"""Time to the first frame of the app in a real terminal, as a ratio to a minimal Textual app.

Run: python tests/bench/bench_first_frame.py [PAIRS]. Goal: a ratio of at most 1.15.
"""

import fcntl
import os
import pty
import select
import statistics
import struct
import sys
import tempfile
import termios
import time

MINIMAL = """
from textual.app import App
from textual.widgets import Static

class Minimal(App):
    def compose(self):
        yield Static("first frame")

Minimal().run()
"""
LIMIT_SECONDS = 30.0


def first_frame(arguments: list[str], marker: bytes, environment: dict[str, str]) -> float:
    """Seconds from the start of the process to `marker` on the terminal; the app is ended then."""
    started = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(arguments[0], arguments, environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen = b""
    try:
        while marker not in seen:
            ready, _, _ = select.select([terminal], [], [], LIMIT_SECONDS)
            if not ready:
                raise SystemExit(f"no first frame after {LIMIT_SECONDS} s: {seen[-500:]!r}")
            seen += os.read(terminal, 65536)
        return time.monotonic() - started
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


def main() -> None:
    """Print the medians and the ratio pair by pair."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "HOME": scratch, "XDG_STATE_HOME": f"{scratch}/state", "TERM": "xterm-256color"}
        minimal = [sys.executable, "-c", MINIMAL]
        ours = [sys.executable, "-m", "llama_tui"]
        first_frame(minimal, b"first frame", environment), first_frame(ours, b"Practice", environment)
        left, right = [], []
        for _ in range(pairs):
            left.append(first_frame(minimal, b"first frame", environment))
            right.append(first_frame(ours, b"Practice", environment))
        ratio = statistics.median(b / a for a, b in zip(left, right, strict=True))
        print(f"minimal Textual app {statistics.median(left):.3f} s, llama-tui {statistics.median(right):.3f} s")
        print(f"ratio, median of {pairs} pairs: {ratio:.2f} (goal: at most 1.15)")


if __name__ == "__main__":
    main()
