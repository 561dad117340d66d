"""Machines that are folders on this computer, each behind an SSH server of its own on loopback.

A command is a real process with the folder's `home` as its home. Processes carry the machine's id in their
environment, so that its end ends them all, detached ones too.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import asyncssh

from llama_tui.practice.environment import for_a_command
from llama_tui.practice.processes import end_all
from llama_tui.practice.ssh_server import SshServer

ASK_AGAIN_SECONDS = 1.0
"""Between two tries to end processes that neither TERM nor KILL has ended."""


class Machine:
    """One machine: its folder, its SSH server, its processes.

    Args:
        id: as the API names it.
        folder: holds `home/`, the host key and the path of its TMPDIR.
        cache: folder that all machines share as XDG_CACHE_HOME, like a filesystem that is attached.
        authorized: the public keys that may log in, as OpenSSH lines. More can be added on the machine.
        programs: name → shell script; found before this computer's own.
    """

    def __init__(
        self,
        id: str,  # noqa: A002
        folder: Path,
        cache: Path,
        authorized: list[str],
        programs: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.id = id
        self.home = folder / "home"
        self.port = 0
        """Of its SSH server on 127.0.0.1; 0 while there is none."""
        self._folder = folder
        self._cache = cache
        self._authorized = authorized
        self._programs = programs
        self._server: SshServer | None = None
        self._ended = False
        self._turning = asyncio.Lock()

    async def open_ssh(self) -> None:
        """Start its SSH server; not after its end."""
        async with self._turning:
            if self._ended or self._server:
                return
            host_key = self._first_boot()
            environment = for_a_command(self.id, self.home, self._scratch(), self._cache, self._folder / "bin")
            server = SshServer(self.home, host_key, environment)
            self.port = await server.listen(self.port)
            self._server = server

    async def stop(self) -> bool:
        """Close its SSH server with all connections, and end everything that runs. False when something stays."""
        async with self._turning:
            groups: set[int] = set()
            if self._server:
                groups = self._server.groups
                self._server.close()
                self._server = None
            return await end_all(self.id, self.home, groups)

    async def end(self) -> None:
        """End everything that runs on it, however long that takes, and remove its folder."""
        self._ended = True
        while not await self.stop():  # noqa: ASYNC110 — nothing tells when a process is gone
            await asyncio.sleep(ASK_AGAIN_SECONDS)
        await asyncio.to_thread(self._remove)

    def _first_boot(self) -> Path:
        """Make what an image's first boot makes; returns the host key's file."""
        host_key = self._folder / "ssh_host_ed25519_key"
        if not host_key.exists():
            (self.home / ".ssh").mkdir(mode=0o700, parents=True, exist_ok=True)
            lines = [asyncssh.import_public_key(one).export_public_key().decode() for one in self._authorized]
            authorized_keys = self.home / ".ssh" / "authorized_keys"
            authorized_keys.touch(mode=0o600)
            authorized_keys.write_text("".join(lines))
            for name, script in self._programs.items():
                program = self._folder / "bin" / name
                program.parent.mkdir(exist_ok=True)
                program.write_text(f"#!/bin/sh\n{script}\n")
                program.chmod(0o700)
            host_key.touch(mode=0o600)
            host_key.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
        return host_key

    def _scratch(self) -> Path:
        """Its TMPDIR; not below the folder, as the path of a Unix socket holds about 100 characters only."""
        link = self._folder / "tmp"
        if not link.is_dir():
            link.unlink(missing_ok=True)
            link.symlink_to(tempfile.mkdtemp(prefix="llama-tui-"))
        return link.resolve()

    def _remove(self) -> None:
        link = self._folder / "tmp"
        if link.is_symlink():
            shutil.rmtree(link.resolve(), ignore_errors=True)
        # First, so that what may be left of the folder is no machine any more.
        (self._folder / "machine.json").unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)
