"""Follow a log that grows on a machine: every byte once, whoever follows, however often the line is cut.

The local copy is the record. It holds a prefix of the log on the machine, and its size is where to read on, so a
follower that was killed starts again where it stopped. A chunk is written at the offset it was read from: two
followers write the same bytes to the same place, and nothing is doubled.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from llama_tui.core.errors import HostUnreachable
from llama_tui.core.events import Emit, Output, Said
from llama_tui.core.interfaces import Cloud, Host
from llama_tui.endpoints import Endpoint, Endpoints, Source
from llama_tui.hosts.output import Lines
from llama_tui.redact import clean

CHUNK = 256 * 1024
"""Bytes of the local copy that are read at a time."""
REMOTE_NAME: dict[Source, str] = {"setup": "setup.log", "server": "api_server.log"}
"""What each log is called in the endpoint's folder."""
PAUSE_SECONDS = 0.25
"""Between two looks at a log that has not grown."""
RECONNECT_SECONDS = 3.0
"""Before a machine that does not answer is tried again."""


class LogCopy:
    """The local copy of one log, read from line 1 and continued from the machine."""

    def __init__(self, file: Path, source: Source) -> None:
        self.source: Source = source
        self._lines = Lines()
        self._position = 0
        self._fd = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)

    def __enter__(self) -> LogCopy:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def local(self) -> tuple[str, ...]:
        """The next whole lines that the local copy has already; empty when it has no more."""
        chunk = os.pread(self._fd, CHUNK, self._position)
        return self._take(chunk)

    async def pull(self, host: Host, directory: str) -> tuple[str, ...]:
        """The next whole lines, from the local copy first, then from the machine. Raises HostUnreachable."""
        chunk = os.pread(self._fd, CHUNK, self._position)
        if not chunk:
            chunk = await host.read(f"{directory}/{REMOTE_NAME[self.source]}", self._position)
            os.pwrite(self._fd, chunk, self._position)
        return self._take(chunk)

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._position

    def flush(self) -> tuple[str, ...]:
        """The unfinished last line, if there is one."""
        return tuple(clean(line) for line in self._lines.flush())

    def _take(self, chunk: bytes) -> tuple[str, ...]:
        self._position += len(chunk)
        return tuple(clean(line) for line in self._lines.feed(chunk))


async def follow(
    endpoint: Endpoint, source: Source, cloud: Cloud | None, endpoints: Endpoints, emit: Emit, *, forever: bool
) -> None:
    """Tell the lines of a log from line 1: the local copy, then what the machine has beyond it.

    Without `forever` it ends where the log ends now. Without a cloud the machine is gone: the copy is all there is.

    Raises:
        HostUnreachable: the machine does not answer (with `forever`: is tried again, and said).
    """
    with LogCopy(endpoints.log_file(endpoint, source), source) as copy:
        while lines := copy.local():
            emit(Output(source, lines))
        while cloud is not None and endpoint.instance is not None:
            try:
                async with cloud.connect(endpoint.instance) as host:
                    await _follow_host(copy, host, endpoint.directory, emit, forever=forever)
                break
            except HostUnreachable as error:
                if not forever:
                    raise
                emit(Said(f"{clean(error.sentence)}; trying again in {RECONNECT_SECONDS:g} s"))
                await asyncio.sleep(RECONNECT_SECONDS)
        if lines := copy.flush():
            emit(Output(source, lines))


async def _follow_host(copy: LogCopy, host: Host, directory: str, emit: Emit, *, forever: bool) -> None:
    while True:
        before = copy.position
        if lines := await copy.pull(host, directory):
            emit(Output(copy.source, lines))
        if copy.position == before:
            if not forever:
                return
            await asyncio.sleep(PAUSE_SECONDS)
