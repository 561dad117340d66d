"""Adopting what a host says that it holds: a manifest is the machine's word, believed as far as it is proven."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llama_tui.clouds.local import LocalCloud
from llama_tui.core.errors import LlamaTuiError, SetupFailed, UsageError
from llama_tui.core.instances import Launch
from llama_tui.endpoints import Endpoint
from llama_tui.jobs.attach import attach_host
from llama_tui.jobs.rent import rent
from llama_tui.services import Services
from tests.jobs.practice_account import QUICK, meant, running


def told(home: Path, endpoint: Endpoint, **says: Any) -> None:
    """A host whose manifest says this."""
    facts = {**msgspec.to_builtins(endpoint), **says}
    folder = home / ".llama-tui" / "evil"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"version": 1, "endpoint": facts}))


async def attach(services: Services) -> Endpoint:
    return await attach_host("box", "", LocalCloud(), services.endpoints, services.cloud)


async def test_an_id_that_is_a_path_names_no_files(services: Services, away_from_home: Path) -> None:
    """Ids name folders of this computer, so only ids of ours are taken."""
    _, endpoint = await meant(services)
    told(away_from_home, endpoint, name="evil", id="../../../../tmp/x")
    with pytest.raises(SetupFailed, match="no id of ours"):
        await attach(services)


async def test_the_id_of_another_endpoint_takes_nothing_over(services: Services, away_from_home: Path) -> None:
    """The record of a rented machine is not replaced by what a host claims to be."""
    _, endpoint = await meant(services)
    rented = await rent(endpoint, services.cloud("practice"), services.endpoints, lambda _: None, QUICK)
    told(away_from_home, rented, name="evil", plan=None)
    with pytest.raises(UsageError, match="which is demo on practice here"):
        await attach(services)
    assert services.endpoints.live() == [rented]


async def test_a_machine_of_the_account_is_only_what_the_account_has(
    services: Services, away_from_home: Path
) -> None:
    """`down` would end it, so a host that names somebody's machine as its own is not believed."""
    _, endpoint = await meant(services)
    cloud = services.cloud("practice")
    victim = await cloud.launch(Launch("somebodys-training", "cpu_4x_general", "us-west-1"))
    services.endpoints.end(endpoint.id, None)
    listed = await cloud.instance(victim)
    told(away_from_home, endpoint, name="evil", id="0badcafe", instance=msgspec.to_builtins(listed))
    with pytest.raises(LlamaTuiError, match="machine of your practice account, and it is not"):
        await attach(services)
    assert services.endpoints.live() == []
    assert [one.id for one in await running(services)] == [victim]
