"""The client and the stand-in, both held against the vendor's OpenAPI document, call by call."""

import inspect
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llama_tui.clouds.lambda_cloud import LambdaCloud
from llama_tui.clouds.pace import Pace
from llama_tui.clouds.ssh_key import SshKey
from llama_tui.core.errors import CloudRefused, UsageError
from llama_tui.core.instances import Launch
from llama_tui.hosts.host_keys import HostKeys
from llama_tui.practice.process import ensure
from llama_tui.redact import Secret
from tests.lambda_document import Held
from tests.practice.lambda_http import until

EVERY_CALL = {
    "instance_types", "instances", "instance", "launch", "terminate", "restart", "rename", "regions", "images",
    "filesystems", "create_filesystem", "region_of_filesystem", "firewall_rules", "ssh_keys", "ssh_key_state",
    "firewall_state", "add_ssh_key", "generate_ssh_key",
}  # fmt: skip
OPERATIONS = {
    "GET /api/v1/instance-types",
    "GET /api/v1/instances", "GET /api/v1/instances/{id}", "POST /api/v1/instances/{id}",
    "POST /api/v1/instance-operations/launch", "POST /api/v1/instance-operations/restart",
    "POST /api/v1/instance-operations/terminate", "GET /api/v1/images", "GET /api/v1/file-systems",
    "POST /api/v1/filesystems", "GET /api/v1/firewall-rules", "GET /api/v1/ssh-keys", "POST /api/v1/ssh-keys",
    "GET /api/v1/regions",
}  # fmt: skip


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[tuple[LambdaCloud, Held]]:
    """The real client on the practice cloud, over a network that looks into the document."""
    practice = await ensure(tmp_path / "practice")
    transport = Held()
    cloud = LambdaCloud(
        key=Secret(practice.key),
        base_url=practice.url,
        pace=Pace(tmp_path / "pace", calls=0, launches=0),
        ssh_key=SshKey(tmp_path / "ssh"),
        host_keys=HostKeys(tmp_path / "known_hosts", trust_new=True),
        ssh_config=[practice.ssh_config],
        transport=transport,
    )
    yield cloud, transport
    await cloud.aclose()


async def test_every_call_is_as_the_document_says(held: tuple[LambdaCloud, Held]) -> None:
    """Each call of the client is made once: its request and its answer are the vendor's, or this fails."""
    cloud, transport = held
    public = {
        name for name, one in inspect.getmembers(LambdaCloud, inspect.iscoroutinefunction) if not name.startswith("_")
    }
    assert public - {"aclose"} == EVERY_CALL, "a call of the client is not held against the document here"
    assert await cloud.instance_types() and await cloud.images() and await cloud.regions()
    assert await cloud.instances() == []
    assert "is added to the account" in await cloud.ssh_key_state()
    with pytest.raises(UsageError):
        await cloud.region_of_filesystem("weights")
    await cloud.create_filesystem("weights", "us-east-1")
    assert await cloud.region_of_filesystem("weights") == "us-east-1"
    assert [one.name for one in await cloud.filesystems()] == ["weights"]
    assert (await cloud.generate_ssh_key("made-there")).reveal().startswith("-----BEGIN")
    await cloud.add_ssh_key(
        "another", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9nlWmFLRHaGCZ4zFkE6YGZ5lXrZUWgWBsbj1UnjO+C x"
    )
    assert len(await cloud.ssh_keys()) == 2
    assert [rule.protocol for rule in await cloud.firewall_rules()]
    assert await cloud.firewall_state() == "SSH is let in from 0.0.0.0/0"
    id_ = await cloud.launch(Launch("held", "cpu_4x_general", "us-east-1", filesystem="weights"))

    async def active() -> bool:
        found = await cloud.instance(id_)
        return found is not None and found.status == "active"

    await until(active)
    assert (await cloud.rename(id_, "renamed")).name == "renamed"
    await cloud.restart(id_)
    await cloud.terminate(id_)

    async def gone() -> bool:
        return await cloud.instance(id_) is None

    await until(gone)
    assert transport.operations == OPERATIONS


async def test_refusals_are_as_the_document_says(held: tuple[LambdaCloud, Held]) -> None:
    """An unknown type, a wrong key: the vendor's envelope and codes."""
    cloud, _ = held
    with pytest.raises(CloudRefused):
        await cloud.launch(Launch("held", "gpu_9x_nothing", "us-east-1"))
    with pytest.raises(CloudRefused):
        await cloud.rename("0" * 32, "nobody")
