"""The command, as a person runs it in a pipe."""

import subprocess
import sys

UP_SECONDS = 300


class Command:
    """`llama-tui` as a person runs it in a pipe, with the state of this test."""

    def run(self, *arguments: str, exit_code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "llama_tui", *arguments],
            input=stdin, text=True, capture_output=True, timeout=UP_SECONDS,
        )  # fmt: skip
        assert done.returncode == exit_code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def __call__(self, *arguments: str) -> str:
        return self.run(*arguments).stdout
