"""Limits, for real on the practice cloud: what is over one is ended and proven gone."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llama_tui.cli import limits
from llama_tui.core.errors import LimitReached, StillThere
from llama_tui.core.instances import GONE
from llama_tui.core.limits import first_over
from llama_tui.core.money import Receipt
from llama_tui.core.plan import Limits
from llama_tui.endpoints import Endpoint
from llama_tui.jobs.limits import limits_of
from llama_tui.services import Services
from tests.cli.command import Command

UP = ["up", "--cloud", "practice", "--model", "smollm2-135m", "--name", "demo"]

pytestmark = pytest.mark.timeout(400)


def machines() -> list[str]:
    """What runs in the practice account."""

    async def look() -> list[str]:
        services = Services()
        try:
            return [one.name for one in await services.account("practice") if one.status not in GONE]
        finally:
            await services.aclose()

    return asyncio.run(look())


def idle_over(*, minutes: float) -> bool:
    """Does a look so many minutes from now find that the idle limit of `demo` is over?"""

    async def look() -> bool:
        services = Services()
        try:
            endpoint = services.endpoints.find("demo")
            now = datetime.now(UTC) + timedelta(minutes=minutes)
            found = await limits_of(endpoint, services.endpoints, services.reach, now)
            assert not found[0].unknown
            return first_over(found) is not None
        finally:
            await services.aclose()

    return asyncio.run(look())


def test_what_is_over_its_limit_is_reaped(llama_tui: Command) -> None:
    """Idle by the real server's counters; then a limit of dollars that is over: seen by ls, ended by reap."""
    llama_tui(*UP, "--idle", "30")
    quiet = llama_tui.run("reap")
    assert quiet.stdout + quiet.stderr == "", "cron would mail it"
    assert not idle_over(minutes=29)
    llama_tui("prompt", "demo", "The capital of France is", "--max-tokens", "1")
    assert not idle_over(minutes=45)
    assert not idle_over(minutes=74)
    assert idle_over(minutes=75)

    up = llama_tui.run(*UP, "--cap", "0.001")
    assert "its limits are now $0.00, 30 min idle" in up.stderr
    listed = llama_tui.run("ls")
    assert "$0.00, 30 min idle (over)" in listed.stdout
    assert "llama-tui reap" in listed.stderr
    (facts,) = map(json.loads, llama_tui("ls", "--json").splitlines())
    assert facts["over"] == "dollars"
    assert facts["limits"] == {"usd": 0.001, "hours": None, "idle_minutes": 30}

    would = llama_tui.run("reap", "--dry-run", exit_code=6)
    assert would.stdout.startswith("would end demo ($0.20/h, $0.00 so far): its limit of $0.00 was reached")
    assert len(machines()) == 1
    receipt = json.loads(llama_tui.run("reap", "--json", exit_code=6).stdout)
    assert (receipt["name"], receipt["why"]) == ("demo", "its limit of $0.00 was reached")
    assert machines() == []
    assert llama_tui("reap") == ""


def test_up_ends_what_reaches_its_limit_while_it_waits(llama_tui: Command) -> None:
    """Exit 6 once the machine is proven gone; the receipt names the limit."""
    done = llama_tui.run(*UP, "--max", "0.0002", exit_code=6)
    assert "demo has ended: its limit of 0.0002 h was reached" in done.stderr
    assert "its machine is gone after 1 min" in done.stderr
    assert machines() == []
    assert "its limit of 0.0002 h was reached" in llama_tui("receipts")


@pytest.mark.parametrize("where", [["--cloud", "local"], ["--host", "me@box"]])
def test_a_limit_where_nothing_is_rented_is_a_mistake(llama_tui: Command, where: list[str]) -> None:
    """There is no bill to end."""
    if where[0] == "--host":
        checked = llama_tui.run("check", *where, "--model", "smollm2-135m", "--cap", "5", exit_code=3)
        assert "limits are for rented machines" in checked.stdout
        return
    done = llama_tui.run("plan", *where, "--model", "smollm2-135m", "--cap", "5", exit_code=2)
    assert "limits are for rented machines" in done.stderr


def test_the_plan_says_whether_its_limits_hold(llama_tui: Command) -> None:
    """Beside the limits: only while llama-tui runs here, and why."""
    plan = llama_tui("plan", *UP[1:], "--cap", "5", "--idle", "30")
    assert "limits          $5.00, 30 min idle" in plan
    assert "with the laptop off the machine goes on costing" in plan


class Deaf(Services):
    """Services of a cloud that goes on listing the machine."""

    async def terminate(self, *_: object, **__: object) -> None:  # type: ignore[override]
        raise StillThere("i-1 may still run at $0.20/h", "try again")


async def test_what_is_not_proven_gone_is_exit_7(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever else was ended: a machine may still cost."""
    services = await _over(Deaf())
    assert await limits.reap(services, dry_run=False, as_json=False) == 7
    assert "may still run" in capsys.readouterr().err
    with pytest.raises(StillThere):
        await limits.within_limits(services, "demo", asyncio.sleep(60))
    await services.aclose()


async def test_one_that_cannot_be_ended_does_not_keep_the_others() -> None:
    """Not even when what goes wrong was foreseen by nobody; the others are ended, and it is exit 7."""
    services = await _over(Services(), "first")
    await _over(services, "second")
    real = services.terminate

    async def terminate(endpoint: Endpoint, *args: Any) -> Receipt:
        if endpoint.name == "first":
            raise RuntimeError("a bug")
        return await real(endpoint, *args)

    services.terminate = terminate  # type: ignore[method-assign, assignment]
    assert await limits.reap(services, dry_run=False, as_json=True) == 7
    assert [one.name for one in services.endpoints.live()] == ["first"]
    await services.aclose()


async def test_what_holds_the_terminal_is_stopped_and_its_machine_ended() -> None:
    """`connect` holds a forward until a limit is over: first it lets go, then the machine is ended."""
    services = await _over(Services())
    stopped: list[str] = []

    async def hold() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("let go")

    with pytest.raises(LimitReached, match="its limit of 1 h was reached"):
        await limits.within_limits(services, "demo", hold())
    assert stopped == ["let go"]
    assert services.endpoints.live() == []
    await services.aclose()


async def test_work_that_is_done_first_is_what_comes_out() -> None:
    services = Services()

    async def work() -> str:
        return "done"

    async def fail() -> None:
        raise LimitReached("its own error")

    assert await limits.within_limits(services, "nobody", work()) == "done"
    with pytest.raises(LimitReached, match="its own error"):
        await limits.within_limits(services, "nobody", fail())
    await services.aclose()


async def _over(services: Services, name: str = "demo") -> Services:
    """With one more endpoint, whose machine was launched two hours ago and is limited to one."""
    from llama_tui.core.instances import Instance
    from llama_tui.core.plan import Choices
    from llama_tui.jobs.rent import LAUNCH_ASKED

    chosen = Choices("smollm2-135m", "practice", name=name, limits=Limits(hours=1))
    endpoint = services.endpoints.intend(await services.plan(chosen))
    services.endpoints.note(endpoint.id, LAUNCH_ASKED)
    machine = Instance(f"i-{name}", endpoint.instance_name, "active", "cpu_4x_general", "us-west-1")
    launched = datetime.now(UTC) - timedelta(hours=2)
    services.endpoints.change(endpoint.id, instance=machine, launched=launched, state="booting")
    return services
