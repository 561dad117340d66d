"""Where a machine is not to be had: the next region, another allowed type, or waiting; never a second machine."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from llama_tui.core.capacity import Allowed
from llama_tui.core.errors import CloudRefused, NoCapacity, TooLate, UsageError
from llama_tui.core.events import Event, Said
from llama_tui.core.instances import GONE, Instance, Launch
from llama_tui.core.plan import Choices, Plan
from llama_tui.endpoints import Endpoint
from llama_tui.jobs.deploy import _clean_up
from llama_tui.jobs.rent import Patience, rent
from llama_tui.services import PATIENCE, Services

TWO = ("gpu_1x_a100", "gpu_1x_a10")
LIMIT = 30.0
"""Seconds that a condition may take."""


@pytest.fixture
async def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Services]:
    """The practice cloud; a deploy ends when its machine answers, what is set up on it is another test's."""
    made = Services(state=tmp_path / "state", config=tmp_path / "config.toml")

    async def only_rent(plan: Plan, emit: object, *, not_after: float = 0.0) -> Endpoint:
        endpoint = made.endpoints.intend(plan)
        try:
            return await rent(
                endpoint,
                made.cloud("practice"),
                made.endpoints,
                emit,
                PATIENCE["practice"],  # type: ignore[arg-type]
                not_after=not_after,
            )
        except NoCapacity:
            made.endpoints.end(endpoint.id, None)
            raise

    monkeypatch.setattr(made, "deploy", only_rent)
    yield made
    switch(made)
    cloud = made.cloud("practice")
    for instance in await cloud.instances():
        await cloud.terminate(instance.id)
    await made.aclose()


def switch(services: Services, *sold_out: str) -> None:
    """These are listed, and refused at launch."""
    file = services.state / "practice" / "switches.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"insufficient_capacity": sold_out}))


async def up(services: Services, told: list[Event], wait_seconds: float = 0.0, **chosen: object) -> Endpoint:
    choices = Choices("smollm2-135m", "practice", name="demo", **chosen)  # type: ignore[arg-type]
    plan = await services.plan(choices)
    return await services.deploy_where_possible(choices, plan, told.append, wait_seconds=wait_seconds)


async def machines(services: Services) -> list[tuple[str, str]]:
    listed = await services.account("practice")
    return [(one.instance_type, one.region) for one in listed if one.status not in GONE]


def said(told: list[Event]) -> str:
    return "\n".join(event.text for event in told if isinstance(event, Said))


async def test_the_next_region(services: Services) -> None:
    """Sold out in the first of the allowed regions: the next is tried, in the person's order."""
    switch(services, "gpu_1x_a10 us-south-1")
    told: list[Event] = []
    await up(services, told, instance_type="gpu_1x_a10", allowed=Allowed(regions=("us-south-1", "us-east-1")))
    assert await machines(services) == [("gpu_1x_a10", "us-east-1")]
    assert "no capacity in us-south-1" in said(told)


async def test_another_allowed_type(services: Services) -> None:
    """The cheapest of those that were named is tried first, then the next; what was not named is never taken."""
    switch(services, "gpu_1x_a10")
    told: list[Event] = []
    await up(services, told, allowed=Allowed(instance_types=TWO))
    assert [kind for kind, _ in await machines(services)] == ["gpu_1x_a100"]
    assert "trying gpu_1x_a100" in said(told)


async def test_only_what_was_asked_for_without_leave(services: Services) -> None:
    """One type, no price: another is not taken, and the way to allow it is named."""
    switch(services, "gpu_1x_a10")
    with pytest.raises(NoCapacity) as caught:
        await up(services, [], instance_type="gpu_1x_a10")
    assert caught.value.exit_code == 4
    assert await machines(services) == []
    assert services.endpoints.live() == []


async def test_a_price_allows_what_is_cheaper(services: Services) -> None:
    """Any type up to it, the cheapest first, and nothing above it."""
    switch(services, "cpu_4x_general", "gpu_1x_rtx6000")
    told: list[Event] = []
    with pytest.raises(NoCapacity):
        await up(services, told, allowed=Allowed(max_cents_per_hour=100))
    assert "trying gpu_1x_rtx6000" in said(told)
    assert await machines(services) == []
    with pytest.raises(UsageError, match="no instance type of practice is allowed"):
        await up(services, told, allowed=Allowed(max_cents_per_hour=1))


async def test_waiting_until_there_is_one(services: Services) -> None:
    """Looked for again and again; launched once when it is to be had."""
    switch(services, "gpu_1x_a10")
    told: list[Event] = []
    waiting = asyncio.create_task(up(services, told, LIMIT, instance_type="gpu_1x_a10"))
    async with asyncio.timeout(LIMIT):
        while said(told).count("no capacity in") < 8:
            await asyncio.sleep(0.02)
    assert await machines(services) == []
    switch(services)
    await waiting
    assert [kind for kind, _ in await machines(services)] == ["gpu_1x_a10"]


async def test_waiting_outlasts_a_fault_at_the_cloud(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours of waiting do not end at a minute of trouble; it is said once, and looked again."""
    switch(services, "gpu_1x_a10")
    told: list[Event] = []
    waiting = asyncio.create_task(up(services, told, LIMIT, instance_type="gpu_1x_a10"))
    async with asyncio.timeout(LIMIT):
        while "looking again every" not in said(told):
            await asyncio.sleep(0.02)
        fault = CloudRefused("the pretend cloud has a fault", status=503)
        with monkeypatch.context() as patched:
            patched.setattr(services, "_replan", AsyncMock(side_effect=fault))
            while "has a fault; looking again" not in said(told):
                await asyncio.sleep(0.02)
        switch(services)
        await waiting
    assert said(told).count("has a fault") == 1
    assert [kind for kind, _ in await machines(services)] == ["gpu_1x_a10"]


async def test_a_region_that_has_none_now_can_be_waited_for(services: Services) -> None:
    """It is a region all the same, and no launch is asked for while another one has the type."""
    with pytest.raises(UsageError, match="there is no region 'us-west-9'"):
        await up(services, [], instance_type="gpu_1x_a10", region="us-west-9")
    with pytest.raises(UsageError, match="there is no region 'us-north-9'"):
        await up(services, [], allowed=Allowed(regions=("us-east-1", "us-north-9")))
    (services.state / "practice" / "switches.json").write_text(
        json.dumps({"listed": {"gpu_1x_a10": ["us-east-1"]}, "insufficient_capacity": ["gpu_1x_a10 us-west-2"]})
    )
    told: list[Event] = []
    with pytest.raises(NoCapacity):
        await up(services, told, 1.5, instance_type="gpu_1x_a10", region="us-west-2")
    assert said(told).count("launching gpu_1x_a10") == 1
    assert "is to be had in" not in said(told)


async def test_a_plan_that_is_waited_for_is_launched_as_it_is(services: Services) -> None:
    """Without choices beside it, only its own machine is taken, and for no more than was agreed to."""
    plan = await services.plan(Choices("smollm2-135m", "practice", name="demo", instance_type="gpu_1x_a10"))
    kind = plan.instance_type
    switch(services, "gpu_1x_a10")
    told: list[Event] = []
    cheaper = replace(plan, instance_type=replace(kind, price_cents_per_hour=kind.price_cents_per_hour - 1))
    with pytest.raises(NoCapacity, match="and was not for"):
        await services.deploy_where_possible(None, cheaper, told.append, wait_seconds=1.0)
    assert said(told).count("no capacity in") == len(kind.regions)  # at the old price once, then no more
    told.clear()
    waiting = asyncio.create_task(services.deploy_where_possible(None, plan, told.append, wait_seconds=LIMIT))
    async with asyncio.timeout(LIMIT):
        while said(told).count("no capacity in") <= len(kind.regions):
            await asyncio.sleep(0.02)
    switch(services)
    await waiting
    assert [kind for kind, _ in await machines(services)] == ["gpu_1x_a10"]


async def test_nothing_is_launched_after_the_deadline(services: Services) -> None:
    """The time is over: exit code 4, and no machine, also when there is capacity then."""
    switch(services, "gpu_1x_a10")
    told: list[Event] = []
    with pytest.raises(NoCapacity, match="and was not for 0:00:01") as caught:
        await up(services, told, 1.0, instance_type="gpu_1x_a10")
    assert caught.value.exit_code == 4
    switch(services)
    assert await machines(services) == []
    assert "looking again every" in said(told)


async def test_a_filesystem_decides_the_region(services: Services) -> None:
    """A machine that is to have it is launched where it is; one that is not there is said, with its price."""
    with pytest.raises(UsageError, match="no filesystem 'weights'") as caught:
        await up(services, [], filesystem="weights")
    assert "$0.20 per GiB" in caught.value.hint
    await services.cloud("practice").create_filesystem("weights", "us-east-1")  # type: ignore[attr-defined]
    await up(services, [], filesystem="weights", instance_type="gpu_1x_a10")
    assert await machines(services) == [("gpu_1x_a10", "us-east-1")]


async def test_a_type_that_is_not_there(services: Services) -> None:
    """The nearest name is proposed."""
    with pytest.raises(UsageError, match="there is no instance type 'gpu_1x_a11'"):
        await up(services, [], allowed=Allowed(instance_types=("gpu_1x_a11", "gpu_1x_a10")))


async def test_a_launch_whose_turn_comes_after_the_deadline_is_not_sent(services: Services) -> None:
    """The regions are gone through at the pace of launches: those whose turn is too late are let go."""
    choices = Choices("smollm2-135m", "practice", name="demo", instance_type="gpu_1x_a10")
    plan = await services.plan(choices)
    with pytest.raises(TooLate) as caught:
        await services.deploy(plan, lambda _: None, not_after=time.time() - 1)
    assert caught.value.exit_code == 4
    assert await machines(services) == []
    assert services.endpoints.live() == []


async def test_the_record_of_what_another_is_launching_stays(services: Services, tmp_path: Path) -> None:
    """Two `up` of one name: the one that was refused does not end the record under which the other launches."""
    plan = await services.plan(Choices("smollm2-135m", "practice", name="demo"))
    endpoint = services.endpoints.intend(plan)
    cloud = services.cloud("practice")
    async with services.endpoints.launching(endpoint.id):
        refused = asyncio.create_task(
            _clean_up(endpoint, NoCapacity("sold out"), cloud, services.endpoints, lambda _: None, Patience())
        )
        await asyncio.sleep(0)
        id_ = await cloud.launch(Launch(endpoint.instance_name, "cpu_4x_general", "us-west-1"))
        there = Instance(id_, endpoint.instance_name, "booting", "cpu_4x_general", "us-west-1")
        services.endpoints.change(endpoint.id, instance=there, launched=datetime.now(UTC), state="booting")
    await refused
    assert services.endpoints.find("demo").state == "booting"


async def test_an_endpoint_that_was_ended_meanwhile_is_not_launched(services: Services) -> None:
    """Its machine would be in no record."""
    plan = await services.plan(Choices("smollm2-135m", "practice", name="demo"))
    endpoint = services.endpoints.intend(plan)
    services.endpoints.end(endpoint.id, None)
    with pytest.raises(UsageError, match="ended by another"):
        await rent(endpoint, services.cloud("practice"), services.endpoints, lambda _: None, PATIENCE["practice"])
    assert await machines(services) == []
