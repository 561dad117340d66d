"""The SSH server of one practice machine: real commands, SFTP and forwards, as OpenSSH on an Ubuntu image would."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import asyncssh

from llama_tui.practice.processes import group_lives

USER = "ubuntu"
"""Who may log in (lambda-cloud-api.md §4.6)."""
CHUNK = 65536
"""Bytes that are handed on at once."""
DRAIN_LIMIT = 1.0
"""Seconds after a shell's end in which a child that holds its output may still write."""


class SshServer:
    """Accepts connections for a machine. `groups` are the process groups that it started and that still live."""

    def __init__(self, home: Path, host_key: Path, environment: dict[str, str]) -> None:
        self.groups: set[int] = set()
        self._home = home
        self._host_key = host_key
        self._environment = environment
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._acceptor: asyncssh.SSHAcceptor | None = None

    async def listen(self, port: int) -> int:
        """Accept connections on that port of 127.0.0.1, or on any when it is 0 or taken; returns the port."""
        try:
            self._acceptor = await self._accept(port)
        except OSError:
            self._acceptor = await self._accept(0)
        return self._acceptor.get_port()

    async def _accept(self, port: int) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            port,
            server_factory=lambda: _Login(self._home / ".ssh" / "authorized_keys", self._connections),
            server_host_keys=[str(self._host_key)],
            process_factory=self._run,
            sftp_factory=lambda channel: _Sftp(channel, self._home),
            encoding=None,
            line_editor=False,
            allow_scp=False,
            agent_forwarding=False,
            x11_forwarding=False,
            gss_host=None,
            config=None,
        )

    def close(self) -> None:
        """Accept no more, and drop what is connected. Commands live on."""
        if self._acceptor:
            self._acceptor.close()
            self._acceptor = None
        for connection in list(self._connections):
            connection.abort()

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """One command (or a shell, where none is named)."""
        command = process.command
        arguments = ["/bin/sh"] if command is None else ["/bin/sh", "-c", command]
        try:
            # Not asyncio's subprocess: that one kills a command when this process ends.
            child = subprocess.Popen(  # noqa: ASYNC220
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=self._home,
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            process.stderr.write(f"sh: {error}\n".encode())
            process.exit(127)
            return
        self.groups.add(child.pid)
        assert child.stdin and child.stdout and child.stderr
        ended = _ended(child)
        into, (out, close_out), (err, close_err) = (
            await _writer(child.stdin),
            await _reader(child.stdout),
            await _reader(child.stderr),
        )
        feeding = asyncio.create_task(_feed(process, into, child.pid))
        relaying = [
            asyncio.create_task(_relay(out, process.stdout, close_out)),
            asyncio.create_task(_relay(err, process.stderr, close_err)),
        ]
        status = await ended
        await asyncio.wait(relaying, timeout=DRAIN_LIMIT)
        for task in (feeding, *relaying):
            task.cancel()
        await asyncio.gather(feeding, *relaying, return_exceptions=True)
        if not group_lives(child.pid):
            self.groups.discard(child.pid)
        with suppress(OSError, asyncssh.Error):
            if status < 0:
                process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
            else:
                process.exit(status)


class _Login(asyncssh.SSHServer):
    """Who may come in, and what may be forwarded."""

    def __init__(self, authorized_keys: Path, connections: set[asyncssh.SSHServerConnection]) -> None:
        self._authorized_keys = authorized_keys
        self._connections = connections
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection:
            self._connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        # Read at each login: a person may add a key on the machine.
        if self._connection and username == USER:
            with suppress(OSError, ValueError):
                self._connection.set_authorized_keys(str(self._authorized_keys))
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return dest_host in ("127.0.0.1", "localhost")


class _Sftp(asyncssh.SFTPServer):
    """Relative paths begin in the home, absolute ones are what they are."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], home: Path) -> None:
        super().__init__(channel)
        self._home = os.fsencode(home)

    def map_path(self, path: bytes) -> bytes:
        return os.path.join(self._home, path)  # noqa: PTH118


def _ended(child: subprocess.Popen[bytes]) -> asyncio.Future[int]:
    """The exit status, once there is one; negative for a signal."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[int] = loop.create_future()

    def settle(status: int) -> None:
        if not future.done():
            future.set_result(status)

    def wait() -> None:
        status = child.wait()
        with suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(settle, status)

    threading.Thread(target=wait, daemon=True).start()
    return future


async def _reader(pipe: IO[bytes]) -> tuple[asyncio.StreamReader, Callable[[], None]]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader, transport.close


async def _writer(pipe: IO[bytes]) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), pipe
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)


async def _feed(process: asyncssh.SSHServerProcess[bytes], into: asyncio.StreamWriter, group: int) -> None:
    """Hand the client's input on, and its signals."""
    try:
        while True:
            try:
                data = await process.stdin.read(CHUNK)
            except asyncssh.SignalReceived as received:
                number = getattr(signal, f"SIG{received.signal}", None)
                if number:
                    with suppress(ProcessLookupError, PermissionError):
                        os.killpg(group, number)
            except (asyncssh.BreakReceived, asyncssh.TerminalSizeChanged):
                continue
            else:
                if not data:
                    return
                into.write(data)
                await into.drain()
    except (OSError, asyncssh.Error):
        return  # the client is gone, or the command reads no more
    finally:
        into.close()


async def _relay(
    source: asyncio.StreamReader, to_client: asyncssh.SSHWriter[bytes], close: Callable[[], None]
) -> None:
    """Hand a command's output on; when nobody takes it any more, its next write fails as with OpenSSH."""
    try:
        while data := await source.read(CHUNK):
            to_client.write(data)
            await to_client.drain()
    except (OSError, asyncssh.Error):
        return
    finally:
        close()
