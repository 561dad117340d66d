"""The `local` cloud: this computer. It is there before and after."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from llama_tui.clouds.probe import probe
from llama_tui.core.instances import Instance, InstanceType, Launch
from llama_tui.core.interfaces import Host
from llama_tui.hosts.local import LocalHost


class LocalCloud:
    """This computer, as the one machine there is."""

    name = "local"
    rents = False

    async def instance_types(self) -> list[InstanceType]:
        """This computer as it is, probed."""
        async with LocalHost() as host:
            return [await probe(host, "local", systems=("Linux", "Darwin"))]

    async def instances(self) -> list[Instance]:
        """None: there is no account."""
        return []

    async def instance(self, id: str) -> Instance | None:  # noqa: A002
        """This computer."""
        return Instance("local", "local", "active", "local", "")

    async def launch(self, request: Launch) -> str:
        """It runs already."""
        return "local"

    async def terminate(self, id: str) -> None:  # noqa: A002
        """It goes on running."""

    def connect(self, instance: Instance) -> AbstractAsyncContextManager[Host]:
        """Commands as subprocesses."""
        return LocalHost()
