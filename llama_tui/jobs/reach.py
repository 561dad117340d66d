"""Reach the model server of an endpoint: its machine, a forward to it, its key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llama_tui.core.errors import HostUnreachable, LlamaTuiError, SetupFailed
from llama_tui.core.instances import Instance
from llama_tui.core.interfaces import Address, Cloud, Host
from llama_tui.core.money import per_hour
from llama_tui.endpoints import Endpoint
from llama_tui.redact import Secret

if TYPE_CHECKING:
    import httpx2

QUIET_SECONDS = 300.0
"""A server that has sent nothing for this long is given up (a long prompt on a CPU takes its time)."""
HEALTH_SECONDS = 10.0
"""For an answer from /health."""


@dataclass(frozen=True, slots=True)
class Server:
    """A model server that can be asked."""

    address: Address
    key: Secret
    """Empty: it wants none."""
    model: str


def machine_of(endpoint: Endpoint) -> Instance:
    """The machine of an endpoint. Raises SetupFailed when it has none (yet)."""
    if endpoint.instance is None:
        raise SetupFailed(
            f"{endpoint.name} has no machine yet", f"go on with it: llama-tui up --name {endpoint.name} …"
        )
    return endpoint.instance


async def read_key(host: Host, directory: str) -> Secret:
    """The key of the server, from its 0600 file on the machine: it is kept nowhere else."""
    return Secret((await host.read(f"{directory}/api_key")).decode("ascii", "replace").strip())


@asynccontextmanager
async def reach(endpoint: Endpoint, cloud: Cloud, *, local_port: int = 0) -> AsyncIterator[Server]:
    """The server of an endpoint, reachable while the context lasts, through an SSH forward where it is remote.

    Raises:
        SetupFailed: it is not up.
        HostUnreachable: its machine does not answer.
    """
    if endpoint.port == 0:
        raise SetupFailed(f"{endpoint.name} is not up yet", f"watch it: llama-tui logs {endpoint.name} -f")
    async with cloud.connect(machine_of(endpoint)) as host:
        key = await read_key(host, endpoint.directory)
        if not key:
            raise HostUnreachable(
                f"{endpoint.name} is no longer on its machine", f"forget it: llama-tui down {endpoint.name}"
            )
        async with host.forward(endpoint.port, local_port) as address:
            yield Server(address, key, endpoint.model)


@asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client for one server: through its Unix socket where it has one, never through a proxy."""
    import httpx2

    transport = httpx2.AsyncHTTPTransport(uds=server.address.uds) if server.address.uds else None
    headers = {"Authorization": f"Bearer {server.key.reveal()}"} if server.key else {}
    secure = server.address.base_url.startswith("https:")
    async with httpx2.AsyncClient(
        base_url=server.address.base_url,
        headers=headers,
        transport=transport,
        trust_env=secure,
        verify=secure,
        timeout=httpx2.Timeout(10, read=QUIET_SECONDS),
    ) as client:
        yield client


async def answers(server: Server) -> bool:
    """Does the server say that it is well?"""
    import httpx2

    async with client_of(server) as client:
        try:
            return bool((await client.get("/health", timeout=HEALTH_SECONDS)).status_code == 200)
        except httpx2.HTTPError:
            return False


def machine_runs(endpoint: Endpoint, error: LlamaTuiError) -> str:
    """The hint of an error, with what a person must know of the machine: that it runs, its price, how to end it."""
    if endpoint.launched is None or not endpoint.price_cents_per_hour:
        return error.hint
    price = per_hour(endpoint.price_cents_per_hour)
    if endpoint.instance is None:  # the cloud's own advice, another region say, is not for this
        name = endpoint.instance_name
        return f"a machine named {name} may run at {price}; look, and end it: llama-tui down {endpoint.name}"
    still = f"its machine still runs at {price}; end it: llama-tui down {endpoint.name}"
    return f"{error.hint}; {still}" if error.hint else still
