"""The `practice` cloud: the Lambda client, against a pretend Lambda that is started when it is first asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from llama_tui.core.errors import CloudRefused
from llama_tui.core.instances import Instance, InstanceType, Launch
from llama_tui.core.interfaces import Cloud, Host

T = TypeVar("T")


class PracticeCloud:
    """A cloud that is opened on first use, and opened anew when its process has ended itself meanwhile.

    Args:
        open_: starts the practice process if need be, and returns a client of it.
    """

    name = "practice"
    rents = True

    def __init__(self, open_: Callable[[], Awaitable[Cloud]]) -> None:
        self._open = open_
        self._inner: Cloud | None = None
        self._opening = asyncio.Lock()

    async def _cloud(self) -> Cloud:
        async with self._opening:
            if self._inner is None:
                self._inner = await self._open()
            return self._inner

    async def _ask(self, work: Callable[[Cloud], Awaitable[T]]) -> T:
        cloud = await self._cloud()
        try:
            return await work(cloud)
        except CloudRefused as error:
            if error.code != "http/unreachable":
                raise
        await self.aclose()
        return await work(await self._cloud())

    async def instance_types(self) -> list[InstanceType]:
        """The vendor's types, with prices of one month."""
        return await self._ask(lambda cloud: cloud.instance_types())

    async def instances(self) -> list[Instance]:
        """Everything in the pretend account."""
        return await self._ask(lambda cloud: cloud.instances())

    async def instance(self, id: str) -> Instance | None:  # noqa: A002
        """One pretend machine."""
        return await self._ask(lambda cloud: cloud.instance(id))

    async def launch(self, request: Launch) -> str:
        """Launch a pretend machine, once: the connection is proved by a read before."""
        await self._ask(lambda cloud: cloud.instances())
        return await (await self._cloud()).launch(request)

    async def terminate(self, id: str) -> None:  # noqa: A002
        """End a pretend machine."""
        await self._ask(lambda cloud: cloud.terminate(id))

    async def regions(self) -> list[Any]:
        """The regions of the pretend Lambda."""
        cloud: Any = await self._cloud()
        return list(await cloud.regions())

    async def images(self) -> list[Any]:
        """What the disks of pretend machines would hold."""
        cloud: Any = await self._cloud()
        return list(await cloud.images())

    async def region_of_filesystem(self, name: str) -> str:
        """Where a pretend filesystem is."""
        cloud: Any = await self._cloud()
        return str(await cloud.region_of_filesystem(name))

    async def create_filesystem(self, name: str, region: str) -> None:
        """Make a pretend filesystem."""
        cloud: Any = await self._cloud()
        await cloud.create_filesystem(name, region)

    async def ssh_key_state(self) -> str:
        """What there is of our key on both sides."""
        cloud: Any = await self._cloud()
        return str(await cloud.ssh_key_state())

    async def firewall_state(self) -> str:
        """From where SSH reaches the pretend machines."""
        cloud: Any = await self._cloud()
        return str(await cloud.firewall_state())

    @asynccontextmanager
    async def connect(self, instance: Instance) -> AsyncIterator[Host]:
        """Reach a pretend machine by real SSH."""
        async with (await self._cloud()).connect(instance) as host:
            yield host

    async def aclose(self) -> None:
        """Close the client; the process goes on as long as it has machines."""
        inner, self._inner = self._inner, None
        close: Any = getattr(inner, "aclose", None)
        if close:
            await close()
