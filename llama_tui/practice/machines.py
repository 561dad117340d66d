"""Machines that are folders on this computer, each behind an SSH server of its own on loopback.

A command is a real process with the folder as its home. Processes carry the machine's id in their environment, so
that its end ends them all, detached ones too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from pathlib import Path

import asyncssh

MARK = "LLAMA_TUI_PRACTICE_MACHINE"
"""Environment variable that every process of a machine carries, with the machine's id."""
USER = "ubuntu"
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR")
"""What of our own environment a machine sees, beside PIP_*, UV_* and proxies: an allow list, so no token leaks."""
PASSED_ON_PREFIXES = ("PIP_", "UV_")
TERM_SECONDS = 3.0
"""For processes to end by themselves when their machine is terminated; then they are killed."""
GRACE_SECONDS = 0.5
"""After a shell's end, for output that a child of it still holds open."""


class Machine:
    """One machine: its folder, its SSH server, its processes.

    Args:
        id: as the API names it.
        folder: holds `home/` and the host key.
        cache: folder that all machines share as XDG_CACHE_HOME, like a filesystem that is attached.
        authorized: the public keys that may log in, as OpenSSH lines.
    """

    def __init__(self, id: str, folder: Path, cache: Path, authorized: list[str]) -> None:  # noqa: A002
        self.id = id
        self.home = folder / "home"
        self.port = 0
        """Of its SSH server on 127.0.0.1; 0 while there is none."""
        self._folder = folder
        self._cache = cache
        self._authorized = [asyncssh.import_public_key(line) for line in authorized]
        self._server: asyncssh.SSHAcceptor | None = None
        self._groups: set[int] = set()

    async def open_ssh(self) -> None:
        """Start its SSH server."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_file = self._folder / "ssh_host_ed25519_key"
        if not key_file.exists():
            key = asyncssh.generate_private_key("ssh-ed25519")
            key_file.touch(mode=0o600)
            key_file.write_bytes(key.export_private_key())
        self._server = await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_factory=lambda: _Login(self._authorized),
            server_host_keys=[str(key_file)],
            process_factory=self._serve,
            sftp_factory=lambda channel: _Files(channel, self.home),
            encoding=None,
            allow_scp=False,
            config=None,
        )
        self.port = self._server.get_port()

    async def close_ssh(self) -> None:
        """Close its SSH server and all connections to it."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def end(self) -> None:
        """End everything that runs on it, and remove its folder."""
        await self.close_ssh()
        for sign, seconds in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, TERM_SECONDS)):
            waited = 0.0
            self._signal(sign)
            while self._processes() and waited < seconds:
                await asyncio.sleep(0.05)
                waited += 0.05
            if not self._processes():
                break
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def _processes(self) -> set[int]:
        """Pids of everything that carries the mark; where there is no /proc, of the groups that we know."""
        proc = Path("/proc")
        if not (proc / "self" / "environ").exists():
            return {group for group in self._known_groups() if _lives(group)}
        wanted = f"{MARK}={self.id}".encode()
        found = set()
        for entry in proc.iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if wanted in (entry / "environ").read_bytes().split(b"\0"):
                        found.add(int(entry.name))
        return found

    def _known_groups(self) -> set[int]:
        noted = set()
        for file in self.home.glob(".llama-tui/*/*.pid"):
            with contextlib.suppress(OSError, ValueError):
                noted.add(os.getpgid(int(file.read_text())))
        return self._groups | noted

    def _signal(self, sign: signal.Signals) -> None:
        by_group = not Path("/proc/self/environ").exists()
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, sign) if by_group else os.kill(pid, sign)

    def _environment(self) -> dict[str, str]:
        passed = {
            name: value
            for name, value in os.environ.items()
            if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES) or name.lower().endswith("_proxy")
        }
        return {
            "PATH": os.defpath,
            "PIP_CACHE_DIR": str(self._cache / "pip"),
            **passed,
            "HOME": str(self.home),
            "USER": USER,
            "LOGNAME": USER,
            "SHELL": "/bin/sh",
            "XDG_CACHE_HOME": str(self._cache),
            "HF_HOME": str(self._cache / "huggingface"),
            MARK: self.id,
        }

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Run one command (or a shell) for a client. The process outlives its client, as with OpenSSH."""
        command = process.command or "exec /bin/sh"
        try:
            child = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                command,
                cwd=self.home,
                env=self._environment(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            process.stderr.write(f"{error}\n".encode())
            process.exit(126)
            return
        self._groups.add(child.pid)
        assert child.stdin and child.stdout and child.stderr
        feeding = asyncio.create_task(_feed(process.stdin, child.stdin))
        output = asyncio.gather(_drain(child.stdout, process.stdout), _drain(child.stderr, process.stderr))
        try:
            status = await child.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(output), GRACE_SECONDS)
            if status < 0:
                process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
            else:
                process.exit(status)
        except (OSError, asyncssh.Error):
            pass  # the client has gone
        finally:
            feeding.cancel()
            output.cancel()


async def _feed(source: asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):
        while chunk := await source.read(65536):
            sink.write(chunk)
            await sink.drain()
    sink.close()


async def _drain(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    while chunk := await source.read(65536):
        # A client that has gone must not stop the process by a full pipe: its output is read on.
        with contextlib.suppress(OSError, asyncssh.Error):
            sink.write(chunk)
            await sink.drain()


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


class _Login(asyncssh.SSHServer):
    """Lets in who has the key, and forwards to this machine's own loopback only."""

    def __init__(self, authorized: list[asyncssh.SSHKey]) -> None:
        self._authorized = {key.public_data for key in authorized}

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == USER and key.public_data in self._authorized

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return dest_host in ("127.0.0.1", "localhost", "::1")


class _Files(asyncssh.SFTPServer):
    """SFTP as OpenSSH gives it: relative paths begin at home."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], home: Path) -> None:
        super().__init__(channel)
        self._home = os.fsencode(home)

    def map_path(self, path: bytes) -> bytes:
        return os.path.join(self._home, path)  # noqa: PTH118 — bytes, and an absolute path wins
