"""Money on the way up and down: one launch, found again when its answer is lost, and nothing left running unsaid.

Against the practice cloud: the Lambda client, the vendor's API over HTTP, failures switched on as they are needed.
"""

import asyncio
from dataclasses import replace

import pytest

from llama_tui.clouds import lambda_api
from llama_tui.core.errors import CloudRefused, CredentialMissing, NoCapacity, SetupFailed, StillThere, UsageError
from llama_tui.core.events import Event, Said
from llama_tui.core.instances import Launch
from llama_tui.jobs.rent import LAUNCH_ASKED, Patience, rent
from llama_tui.services import PATIENCE, Services
from tests.clouds.lambda_account import QUICK as QUICK_RETRY
from tests.jobs.practice_account import QUICK, meant, running, switch


async def test_a_launch_whose_answer_is_lost_is_found_by_its_name(services: Services) -> None:
    """The connection breaks after the launch: the account is looked through, and nothing is launched twice."""
    _, endpoint = await meant(services)
    switch(services, answers=[{"to": "POST instance-operations/launch", "done": True, "drops": True}])
    events: list[Event] = []
    rented = await rent(endpoint, services.cloud("practice"), services.endpoints, events.append, QUICK)
    listed = await services.account("practice")
    assert [one.id for one in listed] == [rented.instance and rented.instance.id]
    assert any(isinstance(event, Said) and "answer to the launch was lost" in event.text for event in events)


async def test_a_launch_of_a_process_that_died_is_taken_up(services: Services) -> None:
    """The intent and the launch are on record, the id is not: the machine of that name is the one."""
    _, endpoint = await meant(services)
    services.endpoints.note(endpoint.id, LAUNCH_ASKED, "")
    cloud = services.cloud("practice")
    launched = await cloud.launch(Launch(endpoint.instance_name, "cpu_4x_general", "us-west-1"))
    rented = await rent(endpoint, cloud, services.endpoints, lambda _: None, QUICK)
    assert rented.instance
    assert rented.instance.id == launched


async def test_two_at_once_launch_one(services: Services) -> None:
    """Two clients that mean the same endpoint: one launches, the other takes its machine."""
    _, endpoint = await meant(services)
    cloud = services.cloud("practice")
    both = await asyncio.gather(*(rent(endpoint, cloud, services.endpoints, lambda _: None, QUICK) for _ in range(2)))
    assert len({one.instance and one.instance.id for one in both}) == 1
    assert len(await services.account("practice")) == 1


async def test_without_capacity_in_one_region_the_next_is_tried(services: Services) -> None:
    """A region may be listed and refuse all the same."""
    plan, endpoint = await meant(services)
    first, second, *_ = plan.instance_type.regions
    switch(services, insufficient_capacity=[f"cpu_4x_general {first}"])
    rented = await rent(endpoint, services.cloud("practice"), services.endpoints, lambda _: None, QUICK)
    assert rented.instance
    assert rented.instance.region == second


async def test_without_capacity_anywhere_nothing_is_left(services: Services) -> None:
    """Exit code 4, no machine, and the name is free."""
    plan, _ = await meant(services)
    switch(services, insufficient_capacity=["cpu_4x_general"])
    with pytest.raises(NoCapacity) as caught:
        await services.deploy(plan, lambda _: None)
    assert caught.value.exit_code == 4
    assert services.endpoints.live() == []
    assert await running(services) == []


@pytest.mark.parametrize("boot", ["unhealthy", "stuck"])
async def test_a_machine_that_does_not_come_up_is_said_with_its_price(
    services: Services, boot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed start keeps the machine and says what it costs and how to end it; `down` then proves it gone."""
    monkeypatch.setitem(PATIENCE, "practice", QUICK)
    plan, _ = await meant(services, on_failure="keep")
    switch(services, boot=boot)
    with pytest.raises(SetupFailed) as caught:
        await services.deploy(plan, lambda _: None)
    assert "still runs at $0.20/h; end it: llama-tui down demo" in caught.value.hint
    endpoint = services.endpoints.find("demo")
    assert endpoint.state == "failed"
    assert endpoint.price_cents_per_hour == 20
    receipt = await services.terminate(endpoint, lambda _: None)
    assert receipt.minutes == 1
    assert await running(services) == []


async def test_a_failed_start_may_end_its_machine(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """on-failure terminate: the machine is gone, and the error says so."""
    monkeypatch.setitem(PATIENCE, "practice", QUICK)
    plan, _ = await meant(services, on_failure="terminate")
    switch(services, boot="unhealthy")
    with pytest.raises(SetupFailed, match="unhealthy") as caught:
        await services.deploy(plan, lambda _: None)
    assert "the machine was ended after 1 min" in caught.value.hint
    assert services.endpoints.live() == []
    assert await running(services) == []


async def test_what_cannot_be_shown_to_be_gone_is_not_said_to_be(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cloud that goes on listing the machine: exit code 7, the endpoint stays on record, no receipt."""
    _, endpoint = await meant(services)
    cloud = services.cloud("practice")
    rented = await rent(endpoint, cloud, services.endpoints, lambda _: None, QUICK)

    async def deaf(id: str) -> None:  # noqa: A002
        """Accept the call and do nothing."""

    monkeypatch.setattr(cloud, "terminate", deaf)
    monkeypatch.setitem(PATIENCE, "practice", replace(QUICK, terminate=0.5))
    with pytest.raises(StillThere) as caught:
        await services.terminate(rented, lambda _: None)
    assert caught.value.exit_code == 7
    assert "may still run at $0.20/h" in caught.value.sentence
    assert services.endpoints.receipts() == []
    assert services.endpoints.find("demo").state == "ending"
    monkeypatch.undo()  # so that the machine can be ended after the test


async def test_down_while_up_still_waits(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receipt is final: `up` says that it was ended, and neither revives nor ends it again."""
    monkeypatch.setitem(PATIENCE, "practice", replace(QUICK, boot=60.0))
    plan, _ = await meant(services, on_failure="keep")
    switch(services, seconds_to_ssh=3600)
    up = asyncio.create_task(services.deploy(plan, lambda _: None))
    while not (endpoint := services.endpoints.find("demo")).launched:
        assert not up.done()
        await asyncio.sleep(0.02)
    await services.terminate(endpoint, lambda _: None)
    with pytest.raises(UsageError, match=r"demo was ended by another|demo is being ended"):
        await asyncio.wait_for(up, 20)
    assert services.endpoints.live() == []
    assert [one.why for one in services.endpoints.receipts()] == ["you said so"]
    assert await running(services) == []


async def test_an_unanswered_launch_in_an_account_that_cannot_be_seen(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine may run: its name, its price and how to end it are said, it counts, and `down` finds and ends it."""
    monkeypatch.setitem(PATIENCE, "practice", replace(QUICK, settle=0.2))
    monkeypatch.setattr(lambda_api, "Retry", lambda: QUICK_RETRY)
    plan, endpoint = await meant(services, on_failure="keep")
    lost = {"to": "POST instance-operations/launch", "done": True, "drops": True}
    blind = {"to": "GET instances", "skip": 1, "times": 0, "status": 503, "code": "provider/internal-unavailable"}
    switch(services, answers=[lost, blind])
    with pytest.raises(CloudRefused) as caught:
        await services.deploy(plan, lambda _: None)
    assert f"a machine named {endpoint.instance_name} may run at $0.20/h" in caught.value.hint
    assert "llama-tui down demo" in caught.value.hint
    assert services.endpoints.find("demo").price_cents_per_hour == 20

    monkeypatch.setitem(PATIENCE, "practice", replace(QUICK, terminate=0.3))
    with pytest.raises(StillThere, match=r"may still run at \$0.20/h"):
        await services.terminate(services.endpoints.find("demo"), lambda _: None)

    switch(services)
    (machine,) = await running(services)
    known = services.endpoints.find("demo")
    assert known.instance and known.instance.id == machine.id, "a list of the account tells whose machine it is"
    monkeypatch.setitem(PATIENCE, "practice", QUICK)
    assert (await services.terminate(known, lambda _: None)).minutes == 1
    assert await running(services) == []


async def test_an_account_without_its_key_is_not_proof(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is gone, the machine is not: exit code 7, as for all that cannot be shown to be gone."""
    _, endpoint = await meant(services)
    monkeypatch.setattr(services, "cloud", lambda *_: (_ for _ in ()).throw(CredentialMissing("no Lambda API key")))
    with pytest.raises(StillThere, match="no Lambda API key"):
        await services.terminate(endpoint, lambda _: None)
    monkeypatch.undo()


async def test_what_others_run_is_shown_and_never_ended(services: Services) -> None:
    """A machine of the account that is not ours is listed; ending ours leaves it alone."""
    switch(services, strangers=1)
    _, endpoint = await meant(services)
    rented = await rent(endpoint, services.cloud("practice"), services.endpoints, lambda _: None, QUICK)
    await services.terminate(rented, lambda _: None)
    assert [one.name for one in await running(services)] == ["somebody-elses-training-run"]
    switch(services)


def test_patience_is_a_value() -> None:
    """Every wait has a limit that can be set."""
    assert all(limit > 0 for limit in (getattr(Patience(), name) for name in Patience.__slots__))
