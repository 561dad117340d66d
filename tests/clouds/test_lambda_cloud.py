"""Renting from Lambda: what is asked, what is understood. The account is scripted, its shapes are the vendor's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asyncssh
import httpx2
import pytest

from llama_tui.clouds.lambda_cloud import LambdaCloud
from llama_tui.clouds.ssh_key import SshKey
from llama_tui.core.errors import CloudRefused, HostUnreachable, NoCapacity, PreflightFailed
from llama_tui.core.instances import Instance, Launch
from llama_tui.hosts.host_keys import HostKeys
from llama_tui.redact import Secret
from tests.clouds.lambda_account import (
    A10,
    CANARY,
    CPU,
    GH200,
    H100,
    INSTANCE,
    REGION,
    WEST,
    Account,
    data,
    offers,
    refusal,
)
from tests.lambda_document import hold_answer

REQUEST = Launch("llama-tui-demo-1", "gpu_1x_a10", "us-east-1")
LAUNCH = "POST instance-operations/launch"
TERMINATE = "POST instance-operations/terminate"
ID = INSTANCE["id"]


def test_the_scripted_answers_are_shaped_by_the_vendors_document() -> None:
    """Else the rest of this file would prove nothing."""
    api = "https://cloud.lambda.ai/api/v1"
    hold_answer(httpx2.Request("GET", f"{api}/instances/{ID}"), data(INSTANCE))
    hold_answer(httpx2.Request("GET", f"{api}/instance-types"), data(offers((A10, [REGION, WEST]), (CPU, []))))


async def test_instance_types_are_read_by_price(account: Account, cloud: LambdaCloud) -> None:
    """GPU memory comes from the description, as the driver will report it."""
    account.when(
        "GET instance-types", data(offers((H100, []), (A10, [REGION, WEST]), (GH200, [WEST]), (CPU, [REGION])))
    )
    cpu, a10, gh200, h100 = await cloud.instance_types()
    assert (cpu.name, cpu.gpus, cpu.gpu_memory_gib, cpu.memory_gib) == ("cpu_4x_general", 0, 0.0, 16)
    assert (a10.gpus, a10.gpu_memory_gib, a10.price_cents_per_hour) == (1, 22.0, 129)
    assert a10.regions == ("us-east-1", "us-west-1")
    assert (gh200.architecture, a10.architecture) == ("arm64", "x86_64")
    assert (h100.gpus, h100.gpu_memory_gib, h100.regions) == (8, 79.2, ())


async def test_an_old_or_a_new_api_is_understood_too(account: Account, cloud: LambdaCloud) -> None:
    """Fields may be missing, null or unknown; a type without a price is not offered."""
    old = copy.deepcopy(H100)
    del old["specs"]["gpus"], old["gpu_description"]
    new = {**GH200, "architecture": None, "carbon": {"grams": 3}, "specs": {**GH200["specs"], "tpus": 0}}
    unpriced = {**CPU, "name": "cpu_0x_gift", "price_cents_per_hour": None}
    account.when(
        "GET instance-types",
        data(offers((old, None), (new, [{"name": "moon-1", "description": None}]), (unpriced, [REGION]))),
    )
    gh200, h100 = await cloud.instance_types()
    assert (h100.gpus, h100.regions) == (8, ())
    assert (gh200.architecture, gh200.regions) == ("arm64", ("moon-1",))


async def test_instances_are_read_and_their_tokens_are_not(account: Account, cloud: LambdaCloud) -> None:
    """The Jupyter token comes with every answer and leaves with none."""
    account.when("GET instances", data([INSTANCE]))
    (found,) = await cloud.instances()
    assert found == Instance(ID, "llama-tui-demo-1", "active", "gpu_1x_a10", "us-east-1", 129, "198.51.100.2")
    assert CANARY not in repr(asdict(found))


@pytest.mark.parametrize(
    ("changed", "understood"),
    [
        (
            {"status": "hibernating", "region": {"name": "moon-1", "description": "Moon"}},
            {"status": "hibernating", "region": "moon-1"},
        ),
        ({"ip": None, "name": None, "hostname": None, "tags": None}, {"ip": "", "name": ""}),
        ({"ip": "-oProxyCommand=evil"}, {"ip": ""}),
        ({"is_reserved": False, "actions": None}, {"status": "active"}),
        ({"instance_type": {"name": "gpu_1x_a10"}}, {"price_cents_per_hour": 0}),
        ({"region": None, "status": None}, {"region": "", "status": "unknown"}),
    ],
)
async def test_an_odd_instance_is_listed_all_the_same(
    account: Account, cloud: LambdaCloud, changed: dict[str, Any], understood: dict[str, Any]
) -> None:
    """What costs money must not be hidden by a field that we do not know."""
    account.when("GET instances", data([{**INSTANCE, **changed}]))
    (found,) = await cloud.instances()
    assert understood.items() <= asdict(found).items()


async def test_a_machine_is_gone_when_lambda_says_so_and_only_then(account: Account, cloud: LambdaCloud) -> None:
    """A 404 page of whatever stands between is not Lambda's word."""
    account.when(f"GET instances/{ID}", refusal(404, "global/object-does-not-exist"))
    assert await cloud.instance(ID) is None
    page = data({}, 404)
    page = type(page)(404, text="<html>not found</html>")
    account.when(f"GET instances/{ID}", page)
    with pytest.raises(CloudRefused) as refused:
        await cloud.instance(ID)
    assert refused.value.code == "http/404"
    account.when(f"GET instances/{ID}", data({**INSTANCE, "status": "terminating"}))
    assert (await cloud.instance(ID)).status == "terminating"


async def test_a_launch_names_everything_that_lambda_would_else_choose(account: Account, cloud: LambdaCloud) -> None:
    """Image family, one key, our name and our mark; the request obeys the vendor's document."""
    account.when(LAUNCH, data({"instance_ids": [ID]}))
    assert await cloud.launch(REQUEST) == ID
    body = account.body(LAUNCH)
    assert body.pop("ssh_key_names") == [account.keys[0]["name"]]
    assert body == {
        "region_name": "us-east-1",
        "instance_type_name": "gpu_1x_a10",
        "name": "llama-tui-demo-1",
        "image": {"family": "lambda-stack-24-04"},
        "tags": [{"key": "managed-by", "value": "llama-tui"}],
    }
    await cloud.launch(Launch("n", "gpu_1x_a10", "us-east-1", "ubuntu-24-04", "weights"))
    assert account.body(LAUNCH)["image"] == {"family": "ubuntu-24-04"}
    assert account.body(LAUNCH)["file_system_names"] == ["weights"]


async def test_our_ssh_key_is_added_once_and_known_by_its_blob(account: Account, cloud: LambdaCloud) -> None:
    """The comment and the name are the account's own; type and blob are the key."""
    account.when(LAUNCH, data({"instance_ids": [ID]}))
    await cloud.launch(REQUEST)
    await cloud.launch(REQUEST)
    assert account.count("POST ssh-keys") == 1
    kind, blob, *_ = account.keys[0]["public_key"].split()
    account.keys[0].update(name="renamed in the console", public_key=f"{kind} {blob} another comment")
    await cloud.launch(REQUEST)
    assert account.count("POST ssh-keys") == 1
    assert account.body(LAUNCH)["ssh_key_names"] == ["renamed in the console"]


async def test_a_name_that_another_key_has_is_left_to_it(
    account: Account, make_cloud: Callable[..., LambdaCloud], tmp_path: Path
) -> None:
    """Two computers of the same name may use one account; each finds its own key again."""
    mine = SshKey(tmp_path / "key")
    account.keys.append({"id": "0", "name": mine.name, "public_key": "ssh-ed25519 AAAAother x"})
    account.when(LAUNCH, data({"instance_ids": [ID]}))
    await make_cloud(ssh_key=mine).launch(REQUEST)
    added = account.keys[1]["name"]
    assert added.startswith(mine.name[:40])
    assert added != mine.name
    assert len(added) <= 64
    assert account.body(LAUNCH)["ssh_key_names"] == [added]


async def test_a_key_that_another_process_adds_meanwhile_is_used(account: Account, cloud: LambdaCloud) -> None:
    """The list is read again when the name turns out to be taken."""

    def lost_the_race(request: Any) -> Any:
        account._add_key(request)
        return refusal(400, "global/duplicate")

    account.when("POST ssh-keys", lost_the_race)
    account.when(LAUNCH, data({"instance_ids": [ID]}))
    await cloud.launch(REQUEST)
    assert account.count("POST ssh-keys") == 1
    assert account.body(LAUNCH)["ssh_key_names"] == [account.keys[0]["name"]]


async def test_no_capacity_tells_where_there_is_some(account: Account, cloud: LambdaCloud) -> None:
    """The list is advisory: it may name regions, or none."""
    account.when(LAUNCH, refusal(400, "instance-operations/launch/insufficient-capacity", "Not enough capacity."))
    account.when("GET instance-types", data(offers((A10, [WEST]))))
    with pytest.raises(NoCapacity) as none:
        await cloud.launch(REQUEST)
    assert none.value.exit_code == 4
    assert "us-west-1" in none.value.hint
    account.when("GET instance-types", data(offers((A10, []))))
    with pytest.raises(NoCapacity, match="Not enough capacity") as none:
        await cloud.launch(REQUEST)
    assert none.value.hint == "no region lists gpu_1x_a10 now: choose another type, or wait"
    account.when("GET instance-types", refusal(500, "global/unknown"))
    with pytest.raises(NoCapacity):
        await cloud.launch(REQUEST)


@pytest.mark.parametrize("status", ["terminating", "terminated", None])
async def test_terminating_what_is_ending_or_gone_is_fine(
    account: Account, cloud: LambdaCloud, status: str | None
) -> None:
    """Lambda answers `global/unknown` for a machine that is terminating already."""
    account.when(TERMINATE, refusal(500, "global/unknown"))
    gone = refusal(404, "global/object-does-not-exist")
    account.when(f"GET instances/{ID}", data({**INSTANCE, "status": status}) if status else gone)
    await cloud.terminate(ID)
    assert account.count(TERMINATE) == 1


async def test_terminate_says_so_when_the_machine_still_runs(account: Account, cloud: LambdaCloud) -> None:
    """The answer that counts is the machine's state."""
    account.when(TERMINATE, refusal(500, "global/unknown"))
    account.when(f"GET instances/{ID}", data(INSTANCE))
    with pytest.raises(CloudRefused) as refused:
        await cloud.terminate(ID)
    assert refused.value.code == "global/unknown"


async def test_terminate_is_asked_once_and_one_that_vanished_is_fine(account: Account, cloud: LambdaCloud) -> None:
    """The good answer carries the whole instance again, tokens and all; none of it is kept."""
    account.when(TERMINATE, data({"terminated_instances": [INSTANCE]}), refusal(404, "global/object-does-not-exist"))
    assert await cloud.terminate(ID) is None
    assert account.body(TERMINATE) == {"instance_ids": [ID]}
    await cloud.terminate(ID)
    assert account.count(TERMINATE) == 2


async def test_a_machine_without_an_address_cannot_be_reached_yet(make_cloud: Callable[..., LambdaCloud]) -> None:
    """Entering says so; nothing is connected."""
    booting = Instance(ID, "demo", "booting", "gpu_1x_a10", "us-east-1")
    with pytest.raises(HostUnreachable, match="booting"):
        async with make_cloud().connect(booting):
            pass


async def test_a_machine_is_reached_as_ubuntu_with_our_key(
    make_cloud: Callable[..., LambdaCloud], tmp_path: Path
) -> None:
    """Its new host key is pinned to the instance, not to the address: the next machine there has another."""
    ours = SshKey(tmp_path / "key")
    authorized = tmp_path / "authorized_keys"
    authorized.write_text(ours.public() + "\n")
    users: list[str] = []

    def answer(process: asyncssh.SSHServerProcess[bytes]) -> None:
        users.append(process.get_extra_info("username"))
        process.exit(0)

    known = HostKeys(tmp_path / "known_hosts", trust_new=True)
    for number in "12":
        async with asyncssh.listen(
            "127.0.0.1",
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            authorized_client_keys=str(authorized),
            process_factory=answer,
            encoding=None,
        ) as sshd:
            config = tmp_path / "ssh_config"
            config.write_text(f"Host 127.0.0.1\n  Port {sshd.get_port()}\n")
            cloud = make_cloud(ssh_key=ours, host_keys=known, ssh_config=[config])
            machine = Instance(f"id{number}", "demo", "active", "gpu_1x_a10", "us-east-1", ip="127.0.0.1")
            async with cloud.connect(machine) as host:
                assert (await host.run("true", timeout=20)).exit_status == 0
    assert users == ["ubuntu", "ubuntu"]
    assert [line.split()[0] for line in known.own.read_text().splitlines()] == ["llama-tui-id1", "llama-tui-id2"]


async def test_the_rest_of_the_account(account: Account, cloud: LambdaCloud) -> None:
    """Restart, rename, keys, filesystems, images, regions, firewall: each the request that the vendor describes."""
    account.when("POST instance-operations/restart", data({"restarted_instances": [INSTANCE]}))
    await cloud.restart(ID)
    account.when(f"POST instances/{ID}", data({**INSTANCE, "name": "new"}))
    assert (await cloud.rename(ID, "new")).name == "new"
    generated = await cloud.generate_ssh_key("made there")
    assert isinstance(generated, Secret)
    assert "PRIVATE KEY" in generated.reveal()
    assert "PRIVATE KEY" not in repr(generated)
    store = {"id": "f", "name": "weights", "mount_point": "/lambda/nfs/weights", "region": REGION, "is_in_use": False}
    account.when("GET file-systems", data([{**store, "created_by": {"id": "u", "email": "a@b.c"}}]))
    account.when("POST filesystems", data(store))
    assert (await cloud.filesystems()) == [await cloud.create_filesystem("weights", "us-east-1")]
    image = {"id": "i", "family": "lambda-stack-24-04", "version": "1", "architecture": "x86_64", "region": WEST}
    account.when("GET images", data([image]))
    account.when("GET instance-types", data(offers((A10, [REGION]))))
    assert [region.name for region in await cloud.regions()] == ["us-east-1", "us-west-1"]
    account.when("GET regions", data([REGION]))
    assert [region.description for region in await cloud.regions()] == ["Virginia, USA"]
    account.when("GET firewall-rules", data([{"protocol": "icmp", "source_network": "0.0.0.0/0", "description": ""}]))
    assert (await cloud.firewall_rules())[0].protocol == "icmp"
    with pytest.raises(PreflightFailed, match="lets SSH in"):
        await cloud.firewall_state()
    assert "PUT" not in {request.method for request in account.seen}


async def test_the_key_travels_as_a_bearer_and_the_agent_says_who(account: Account, cloud: LambdaCloud) -> None:
    """The edge refuses clients without a name."""
    account.when("GET instances", data([]))
    assert await cloud.instances() == []
    sent = account.seen[0].headers
    assert sent["Authorization"] == "Bearer secret_test_0123456789abcdef"
    assert sent["User-Agent"].startswith("llama-tui/")
    assert "(+https://" in sent["User-Agent"]
