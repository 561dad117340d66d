"""The `ssh` cloud: one machine that a person has already. It is there before and after."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from llama_tui.clouds.probe import probe
from llama_tui.core.instances import Instance, InstanceType, Launch
from llama_tui.core.interfaces import Host
from llama_tui.hosts.host_keys import HostKeys
from llama_tui.hosts.ssh import SshHost


class SshBox:
    """A machine by its SSH address or alias. Nothing is rented, so launch and terminate change nothing."""

    name = "ssh"
    rents = False

    def __init__(self, target: str, host_keys: HostKeys) -> None:
        self._target = target
        self._host_keys = host_keys

    async def instance_types(self) -> list[InstanceType]:
        """The machine as it is, probed. Raises PreflightFailed and what `connect` raises."""
        async with self.connect(self._instance()) as host:
            return [await probe(host, self._target, systems=("Linux",))]

    async def instances(self) -> list[Instance]:
        """None: there is no account."""
        return []

    async def instance(self, id: str) -> Instance | None:  # noqa: A002
        """The machine, taken to be there; whether it answers shows when it is connected."""
        return self._instance()

    async def launch(self, request: Launch) -> str:
        """The machine is there already."""
        return self._target

    async def terminate(self, id: str) -> None:  # noqa: A002
        """The machine is not ours to end."""

    def connect(self, instance: Instance) -> AbstractAsyncContextManager[Host]:
        """Reach it by SSH."""
        return SshHost(self._target, host_keys=self._host_keys)

    def _instance(self) -> Instance:
        return Instance(self._target, self._target, "active", self._target, "")
