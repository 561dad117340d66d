"""What goes wrong on demand: a JSON file in the practice folder, flipped while it runs."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx2
import pytest

from tests.practice.lambda_http import Api, until

BODY = {"region_name": "us-east-1", "instance_type_name": "gpu_1x_a10", "ssh_key_names": ["mine"], "name": "lost"}


def flip(api: Api, switches: Any) -> None:
    file = api.practice.ssh_config.parent / "switches.json"
    new = file.with_suffix(".new")
    new.write_text(switches if isinstance(switches, str) else json.dumps(switches))
    new.replace(file)


async def test_a_type_that_is_listed_and_refused(api: Api) -> None:
    """The list is advisory; elsewhere, and once the switch is off, there is one."""
    flip(api, {"insufficient_capacity": ["gpu_1x_a10 us-east-1"]})
    offers = await api.ask("GET", "/instance-types")
    assert "us-east-1" in [one["name"] for one in offers["gpu_1x_a10"]["regions_with_capacity_available"]]
    code = await api.refused("POST", "/instance-operations/launch", BODY)
    assert code == "instance-operations/launch/insufficient-capacity"
    await api.launch(instance_type_name="gpu_1x_a10", region_name="us-west-1")
    flip(api, {})
    await api.launch(instance_type_name="gpu_1x_a10")


async def test_a_launch_whose_answer_is_lost_has_happened(api: Api) -> None:
    """The connection drops; the machine is in the account under its name. The next launch answers."""
    flip(api, {"answers": [{"to": "POST instance-operations/launch", "done": True, "drops": True}]})
    with pytest.raises(httpx2.HTTPError):
        await api.client.post("/api/v1/instance-operations/launch", json=BODY)
    assert [one["name"] for one in await api.ask("GET", "/instances")] == ["lost"]
    await api.launch()


@pytest.mark.parametrize(("boot", "status"), [("stuck", "booting"), ("unhealthy", "unhealthy")])
async def test_a_boot_that_fails(api: Api, boot: str, status: str) -> None:
    """It never becomes active, it stays what it is when the switch is off, and it can be terminated."""
    flip(api, {"boot": boot})
    id_ = await api.launch()
    flip(api, {})
    await api.active(await api.launch())

    async def is_so() -> bool:
        return bool((await api.instance(id_))["status"] == status)

    await until(is_so)
    await api.terminate(id_)
    await api.gone(id_)


async def test_machines_of_somebody_else(api: Api) -> None:
    """They are listed beside ours, and can be shown."""
    flip(api, {"strangers": 2})
    id_ = await api.launch()
    listed = await api.ask("GET", "/instances")
    assert len(listed) == 3
    for one in listed:
        assert (await api.instance(one["id"]))["id"] == one["id"]
    theirs = next(one["id"] for one in listed if one["id"] != id_)
    assert (await api.terminate(theirs))["status"] == "terminating"
    await api.gone(theirs)


async def test_calls_that_come_too_fast(api: Api) -> None:
    """Off unless asked for; then 429 with a time to wait."""
    flip(api, {"seconds_between_calls": 30})
    await api.ask("GET", "/instances")
    answer = await api.client.get("/api/v1/instances")
    assert answer.status_code == 429 and 0 < float(answer.headers["retry-after"]) <= 30
    flip(api, {"seconds_between_launches": 30})
    await api.launch()
    assert (await api.client.post("/api/v1/instance-operations/launch", json=BODY)).status_code == 429
    assert len(await api.ask("GET", "/instances")) == 1
    flip(api, {})
    await api.launch()


@pytest.mark.parametrize("wrong", ["{", '{"boot": "sideways"}', '{"misspelt": 1}', "[]"])
async def test_a_file_that_makes_no_sense_changes_nothing(api: Api, wrong: str) -> None:
    """The cloud goes on, and its log says why."""
    flip(api, wrong)
    await api.ask("GET", "/instances")
    await api.active(await api.launch())
    assert "switches.json" in (api.practice.ssh_config.parent / "practice.log").read_text()


async def test_an_address_that_no_machine_has_is_refused_at_once(api: Api) -> None:
    """Nothing that is meant for practice leaves this computer: not before sshd answers, not after the end."""
    import asyncssh

    for host in ("203.0.113.77", "203.0.113.2"):
        with pytest.raises(OSError) as refused:
            await asyncssh.connect(host, config=[str(api.practice.ssh_config)], known_hosts=None, connect_timeout=5)
        assert not isinstance(refused.value, (TimeoutError, socket.gaierror))
