"""Which machine may call itself which: host keys, pinned once, refused when they change (libraries.md §2.2)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncssh

LOCK_SECONDS = 10.0
"""How long to wait for another process that writes the file."""


class HostKeys:
    """Our own known_hosts file, beside those of the person.

    Args:
        own: our file; made 0600 with the first pin.
        trust_new: pin an unknown key without asking. For machines that we launched ourselves: their addresses are
            used again, so they are known by an alias of their own instead.
    """

    def __init__(self, own: Path, *, trust_new: bool = False) -> None:
        self.own = own
        self.trust_new = trust_new

    def pin(self, line: str) -> None:
        """Trust the key of a known_hosts line from now on."""
        with self._locked():
            known = self._lines()
            if line not in known:
                self._write([*known, line])

    def forget(self, name: str) -> None:
        """Drop the keys of a host or alias: its machine is gone."""
        if not self.own.exists():
            return
        with self._locked():
            self._write([line for line in self._lines() if line.split(" ", 1)[0] != name])

    def matching(self, files: list[Path], host: str, address: str, port: int) -> list[asyncssh.SSHKey]:
        """The keys that are known for a host, in our file and in the given ones.

        A file that cannot be read counts as empty: a damaged line must not open a door.
        """
        import asyncssh

        found: list[asyncssh.SSHKey] = []
        for file in [self.own, *files]:
            try:
                trusted = asyncssh.read_known_hosts(str(file)).match(host, address, port)[0]
            except (OSError, ValueError):
                continue
            found += trusted
        return found

    def _lines(self) -> list[str]:
        return self.own.read_text("utf-8").splitlines() if self.own.exists() else []

    def _locked(self) -> FileLock:
        from filelock import FileLock

        self.own.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileLock(self.own.with_suffix(".lock"), timeout=LOCK_SECONDS)

    def _write(self, lines: list[str]) -> None:
        new = self.own.with_suffix(f".{os.getpid()}")
        new.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        new.chmod(0o600)
        new.replace(self.own)


if TYPE_CHECKING:
    from filelock import FileLock
