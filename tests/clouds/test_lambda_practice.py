"""The whole way on the practice cloud: real HTTP, real SSH."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from llama_tui.clouds.lambda_cloud import LambdaCloud
from llama_tui.core.errors import HostUnreachable
from llama_tui.core.instances import GONE, Instance, Launch
from llama_tui.redact import Secret

process = pytest.importorskip("llama_tui.practice.process")
host_keys = pytest.importorskip("llama_tui.hosts.host_keys")

LIMIT = 60.0
"""Seconds for each thing that is waited for."""


async def until(cloud: LambdaCloud, id: str, happened: Callable[[Instance | None], bool]) -> Instance | None:  # noqa: A002
    async with asyncio.timeout(LIMIT):
        while not happened(found := await cloud.instance(id)):
            await asyncio.sleep(0.1)
    return found


async def test_launch_connect_terminate(make_cloud: Callable[..., LambdaCloud], tmp_path: Path) -> None:
    """A machine is asked for, gets an address, lets us in, is ended, and is gone."""
    practice = await process.ensure(tmp_path / "practice", linger=1.0, idle=10.0)  # it ends by itself
    cloud = make_cloud(
        name="practice",
        key=Secret(practice.key),
        base_url=practice.url,
        ssh_config=[practice.ssh_config],
        host_keys=host_keys.HostKeys(tmp_path / "known_hosts", trust_new=True),
    )
    try:
        kind = next(one for one in await cloud.instance_types() if one.regions)
        name = "llama-tui-demo-1"
        id_ = await cloud.launch(Launch(name, kind.name, kind.regions[0]))
        found = await until(cloud, id_, lambda one: one is not None and bool(one.ip))
        assert (found.name, found.instance_type, found.price_cents_per_hour) == (
            name,
            kind.name,
            kind.price_cents_per_hour,
        )
        assert id_ in [one.id for one in await cloud.instances()]
        async with asyncio.timeout(LIMIT):
            while True:
                try:
                    async with cloud.connect(found) as host:
                        assert (await host.run("true")).exit_status == 0
                    break
                except HostUnreachable:  # sshd comes after the address
                    await asyncio.sleep(0.1)
        await cloud.terminate(id_)
        await until(cloud, id_, lambda one: one is None or one.status in GONE)
        await cloud.terminate(id_)
    finally:
        await cloud.aclose()
