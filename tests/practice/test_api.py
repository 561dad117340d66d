"""The pretend Lambda speaks as the vendor's document says, and lives as the vendor's machines do."""

from __future__ import annotations

import base64
from typing import Any

import httpx2
import pytest

from llama_tui.practice import catalogue
from tests.practice.lambda_http import Api, until

LAUNCH = "/instance-operations/launch"


async def test_a_life_from_launch_to_absence(api: Api) -> None:
    """Booting without an address, booting with one, active with the rest; terminating, then nowhere."""
    id_ = await api.launch(tags=[{"key": "managed-by", "value": "llama-tui"}])
    one = await api.instance(id_)
    assert one["status"] == "booting" and "ip" not in one and "jupyter_token" not in one
    assert one["actions"]["restart"] == {**one["actions"]["restart"], "available": False}
    assert one["actions"]["restart"]["reason_code"] == "vm-has-not-launched"
    assert (one["name"], one["tags"]) == ("llama-tui-test", [{"key": "managed-by", "value": "llama-tui"}])

    async def with_ip() -> Any:
        found = await api.instance(id_)
        return found if "ip" in found else None

    booting = await until(with_ip)
    assert booting["status"] == "booting", "the address comes before the word active"
    one = await api.active(id_)
    assert one["ip"].startswith("203.0.113.") and one["private_ip"] and one["hostname"]
    assert one["jupyter_token"] in one["jupyter_url"]
    assert one["actions"]["terminate"] == {"available": True}
    assert [listed["id"] for listed in await api.ask("GET", "/instances")] == [id_]

    assert (await api.ask("POST", f"/instances/{id_}", {"name": ""}))["name"] == ""
    assert (await api.ask("POST", f"/instances/{id_}", {"name": "other"}))["name"] == "other"
    restarted = await api.ask("POST", "/instance-operations/restart", {"instance_ids": [id_]})
    assert restarted["restarted_instances"][0]["status"] == "active"
    assert restarted["restarted_instances"][0]["ip"] == one["ip"]

    ending = await api.terminate(id_)
    assert ending["status"] == "terminating"
    assert ending["actions"]["restart"]["reason_code"] == "vm-is-terminating"
    assert (await api.terminate(id_))["status"] in ("terminating", "terminated")
    await api.gone(id_)
    assert await api.refused("GET", f"/instances/{id_}", status=404) == "global/object-does-not-exist"
    for operation in ("terminate", "restart"):
        path = f"/instance-operations/{operation}"
        assert await api.refused("POST", path, {"instance_ids": [id_]}, status=404) == "global/object-does-not-exist"


async def test_a_machine_ended_while_it_boots_leaves_nothing(api: Api) -> None:
    """No address, no door and no folder comes to a machine whose end was asked for."""
    id_ = await api.launch()
    await api.terminate(id_)
    await api.gone(id_)
    other = await api.active(await api.launch())  # a whole boot later
    assert other["status"] == "active"
    assert [one.name for one in (api.practice.ssh_config.parent / "machines").iterdir()] == [other["id"]]


async def test_instance_types_are_the_vendors(api: Api) -> None:
    """Keyed by name; one without a GPU, one for arm64, some without capacity, several regions for others."""
    offers = await api.ask("GET", "/instance-types")
    types = {name: offer["instance_type"] for name, offer in offers.items()}
    places = {name: offer["regions_with_capacity_available"] for name, offer in offers.items()}
    assert (types["gpu_1x_a10"]["price_cents_per_hour"], types["gpu_8x_b200_sxm6"]["specs"]["vcpus"]) == (129, 208)
    assert types["cpu_4x_general"]["specs"]["gpus"] == 0
    assert types["cpu_4x_general"]["gpu_description"] == "N/A"
    assert [name for name, kind in types.items() if kind["architecture"] == "arm64"] == ["gpu_1x_gh200"]
    assert "gpu_4x_b200_sxm6" not in types, "nobody has told its price"
    assert len(types) == 22 and len(places["gpu_1x_a10"]) > 1 and places["gpu_1x_b200_sxm6"] == []
    assert catalogue.PRICES_AS_OF == "2026-07"


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"ssh_key_names": []}, 400, "global/invalid-parameters"),
        ({"ssh_key_names": ["mine", "mine"]}, 400, "global/invalid-parameters"),
        ({"ssh_key_names": ["nobody"]}, 400, "global/object-does-not-exist"),
        ({"ssh_key_names": None}, 400, "global/invalid-parameters"),
        ({"instance_type_name": "gpu_1x_h200"}, 400, "global/object-does-not-exist"),
        ({"instance_type_name": 3}, 400, "global/invalid-parameters"),
        ({"region_name": "us-moon-1"}, 400, "global/invalid-parameters"),
        ({"region_name": "asia-northeast-2"}, 400, "instance-operations/launch/insufficient-capacity"),
        ({"name": "x" * 65}, 400, "global/invalid-parameters"),
        ({"hostname": "Not_A_Host"}, 400, "global/invalid-parameters"),
        ({"tags": [{"key": "A", "value": ""}]}, 400, "global/invalid-parameters"),
        ({"tags": ["managed-by"]}, 400, "global/invalid-parameters"),
        ({"tags": [{"key": "lambda-ai-x", "value": ""}]}, 400, "global/invalid-parameters"),
        ({"user_data": "ü" * 600_000}, 400, "global/invalid-parameters"),
        ({"quantity": 2}, 400, "global/invalid-parameters"),
        ({"quantity": "many"}, 400, "global/invalid-parameters"),
        ({"image": {"family": "a", "id": "b"}}, 400, "global/invalid-parameters"),
        ({"image": {"family": "lambda-stack-9"}}, 400, "global/object-does-not-exist"),
        (
            {"instance_type_name": "gpu_1x_gh200", "region_name": "us-east-3", "image": {"family": "ubuntu-24-04"}},
            400,
            "global/object-does-not-exist",
        ),
        ({"file_system_names": ["nothing"]}, 400, "global/object-does-not-exist"),
        ({"file_system_names": ["far"]}, 400, "instance-operations/launch/file-system-in-wrong-region"),
        (
            {"file_system_mounts": [{"mount_point": "/etc/x", "file_system_id": "1"}]},
            400,
            "global/invalid-parameters",
        ),
        (
            {"file_system_mounts": [{"mount_point": "/data/x", "file_system_id": "1"}]},
            400,
            "global/object-does-not-exist",
        ),
        ({"firewall_rulesets": [{"id": "none"}]}, 400, "global/object-does-not-exist"),
    ],
)
async def test_a_launch_that_cannot_be_is_refused(api: Api, changed: Any, status: int, code: str) -> None:
    """With the vendor's code and no machine."""
    await api.ask("POST", "/filesystems", {"name": "far", "region": "europe-central-1"})
    body = {"region_name": "us-east-1", "instance_type_name": "gpu_1x_a10", "ssh_key_names": ["mine"]}
    assert await api.refused("POST", LAUNCH, body | changed, status=status) == code
    assert await api.ask("GET", "/instances") == []


async def test_quantity_one_and_an_image_are_fine(api: Api) -> None:
    """What older clients send is tolerated."""
    await api.launch(quantity=1, image={"family": "lambda-stack-24-04"}, hostname="box-1", user_data="#cloud-config")


@pytest.mark.parametrize(
    "method_and_path", ["POST /instance-operations/launch", "POST /ssh-keys", "PUT /firewall-rules"]
)
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"null", b'"x"'])
async def test_a_body_that_is_no_request_is_refused(api: Api, method_and_path: str, content: bytes) -> None:
    """Never with a 500."""
    method, path = method_and_path.split()
    answer = await api.client.request(method, f"/api/v1{path}", content=content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "global/invalid-parameters")


async def test_the_key_is_asked_for_in_every_form(api: Api) -> None:
    """Bearer, Basic with an empty password, Basic with the bare key; missing and wrong differ in words only."""
    key = api.practice.key
    basic = base64.b64encode(f"{key}:".encode()).decode()
    for value in (f"Bearer {key}", f"Basic {basic}", f"Basic {key}"):
        await api.ask("GET", "/instances", headers={"Authorization": value})
    messages = set()
    for value in ("Bearer wrong", f"Bearer {key}x", ""):
        error = await api.ask("GET", "/instances", status=401, headers={"Authorization": value})
        assert error["code"] == "global/invalid-api-key"
        messages.add(error["message"])
    assert len(messages) == 2


@pytest.mark.parametrize("agent", ["", "Python-urllib/3.11"])
async def test_the_edge_refuses_a_client_without_a_name(api: Api, agent: str) -> None:
    """In plain text, before the key is looked at."""
    answer = await api.client.get("/api/v1/instances", headers={"User-Agent": agent})
    assert answer.status_code == 403 and "json" not in answer.headers["content-type"]


async def test_paths_that_are_not_there(api: Api) -> None:
    """Listing filesystems is hyphenated, creating is not; restarting takes no GET."""
    assert (await api.client.post("/api/v1/file-systems", json={})).status_code == 405
    assert (await api.client.get("/api/v1/instance-operations/launch")).status_code == 405
    assert (await api.client.get("/api/v1/balance")).status_code == 404
    assert (await api.client.get("/instances")).status_code == 404


async def test_ssh_keys_are_added_made_listed_and_deleted(api: Api) -> None:
    """A generated private half is told once."""
    made = await api.ask("POST", "/ssh-keys", {"name": "made"})
    assert made["private_key"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    listed = await api.ask("GET", "/ssh-keys")
    assert [one["name"] for one in listed] == ["mine", "made"]
    assert not any("private_key" in one for one in listed)
    public = {"public_key": api.public_key}
    no_key = {"name": "a", "public_key": "ssh-rsa no"}
    unclear = ({"name": "made"} | public, {"name": ""} | public, {"name": 3}, public, no_key)
    for body in unclear:
        assert await api.refused("POST", "/ssh-keys", body) == "global/invalid-parameters"
    assert await api.ask("DELETE", f"/ssh-keys/{made['id']}") == {}
    assert await api.refused("DELETE", f"/ssh-keys/{made['id']}") == "global/invalid-parameters"


async def test_filesystems(api: Api) -> None:
    """Made once, in use while a machine has it, deleted after."""
    body = {"name": "weights", "region": "us-east-1"}
    made = await api.ask("POST", "/filesystems", body)
    assert await api.refused("POST", "/filesystems", body) == "global/duplicate"
    assert await api.refused("POST", "/filesystems", body | {"name": "9"}) == "global/invalid-parameters"
    assert await api.refused("POST", "/filesystems", body | {"region": "moon"}) == "global/invalid-parameters"
    id_ = await api.launch(file_system_names=["weights"])
    assert [one["is_in_use"] for one in await api.ask("GET", "/file-systems")] == [True]
    assert await api.refused("DELETE", f"/filesystems/{made['id']}") == "filesystems/filesystem-in-use"
    await api.terminate(id_)
    await api.gone(id_)
    assert (await api.ask("DELETE", f"/filesystems/{made['id']}"))["deleted_ids"] == [made["id"]]
    assert await api.refused("DELETE", f"/filesystems/{made['id']}", status=404) == "global/object-does-not-exist"


async def test_firewall_rules_are_replaced_whole(api: Api) -> None:
    """ICMP and SSH at first; then whatever was put, and nothing that makes no sense."""
    assert [one["protocol"] for one in await api.ask("GET", "/firewall-rules")] == ["icmp", "tcp"]
    rule = {"protocol": "tcp", "port_range": [8000, 8000], "source_network": "198.51.100.7", "description": ""}
    assert await api.ask("PUT", "/firewall-rules", {"data": [rule]}) == [rule | {"source_network": "198.51.100.7/32"}]
    for wrong in (
        {"port_range": [0, 1]},
        {"protocol": "icmp"},
        {"source_network": "all"},
        {"description": "x" * 129},
    ):
        answer = await api.client.put("/api/v1/firewall-rules", json={"data": [rule | wrong]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "global/invalid-parameters")
    assert len(await api.ask("GET", "/firewall-rules")) == 1


async def test_images_and_regions(api: Api) -> None:
    """One image for each family, region, version and architecture."""
    images = await api.ask("GET", "/images")
    assert len({one["id"] for one in images}) == len(images) > 100
    assert {one["family"] for one in images if one["architecture"] == "arm64"} == {
        "lambda-stack-24-04",
        "lambda-stack-22-04",
    }
    assert {"name": "us-east-1", "description": "Virginia, USA"} in await api.ask("GET", "/regions", check=False)


async def test_an_answer_is_never_a_surprise_to_a_reader_of_the_document(api: Api) -> None:
    """The check above is a check: an answer with a field missing does not pass it."""
    with pytest.raises(Exception, match="is a required property"):
        broken = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"data": [{"id": "1"}]}))
        api.client, kept = httpx2.AsyncClient(transport=broken, base_url="http://x"), api.client
        try:
            await api.ask("GET", "/instances")
        finally:
            api.client = kept
