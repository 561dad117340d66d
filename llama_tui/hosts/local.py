"""This computer as a host: the same verbs as over SSH."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType

from llama_tui.core.errors import HostUnreachable, UsageError
from llama_tui.core.interfaces import Address, Completed

READ_BYTES = 256 * 1024
"""The most that one `read` returns."""


class LocalHost:
    """Commands run as subprocesses in the home folder."""

    def __init__(self) -> None:
        self._home = Path.home()

    async def __aenter__(self) -> LocalHost:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def run(self, command: str, *, input: bytes = b"", timeout: float = 60.0) -> Completed:  # noqa: A002
        """Run a line of sh; its process group ends with it when the time is over or the caller is cancelled."""
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            command,
            cwd=self._home,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(timeout):
                stdout, stderr = await process.communicate(input)
        except TimeoutError as error:
            raise HostUnreachable(
                f"a command did not end within {timeout:g} s", "is this computer very busy?"
            ) from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        return Completed(process.returncode or 0, stdout, stderr)

    async def read(self, path: str, offset: int = 0) -> bytes:
        """Bytes of a file from an offset; empty at its end or where there is none."""
        try:
            descriptor = os.open(self._home / path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return b""
        try:
            return os.pread(descriptor, READ_BYTES, offset)
        finally:
            os.close(descriptor)

    @asynccontextmanager
    async def forward(self, port: int, local_port: int = 0) -> AsyncIterator[Address]:
        """The port itself; with another `local_port`, that one relays to it."""
        if local_port in (0, port):
            yield Address(f"http://127.0.0.1:{port}")
            return

        relays: set[asyncio.Task[None]] = set()

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            this = asyncio.current_task()
            assert this is not None
            relays.add(this)
            with contextlib.suppress(OSError, asyncio.CancelledError):  # it ends with the forward; nobody awaits it
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
            writer.close()
            relays.discard(this)

        try:
            listener = await asyncio.start_server(relay, "127.0.0.1", local_port)
        except OSError as error:
            raise UsageError(f"port {local_port} is taken on this computer", "end what listens there") from error
        try:
            yield Address(f"http://127.0.0.1:{local_port}")
        finally:
            listener.close()
            for task in relays:
                task.cancel()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
    finally:
        writer.close()
