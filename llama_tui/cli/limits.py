"""Limits on the command line: `reap` ends what is over one; what holds the terminal keeps them meanwhile."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from llama_tui.cli import output
from llama_tui.core.errors import LimitReached, StillThere, as_told
from llama_tui.core.limits import Standing, check, first_over, in_words, merged
from llama_tui.core.money import dollars, per_hour
from llama_tui.core.plan import Limits
from llama_tui.endpoints import Endpoint
from llama_tui.jobs.limits import LOOK_SECONDS, launched_here, limits_of
from llama_tui.services import Services

T = TypeVar("T")

SHORTEST_PAUSE = 1.0
"""Between two looks, when a limit is about to be reached."""


async def reap(services: Services, dry_run: bool, as_json: bool) -> int:
    """End what is over a limit, one after the other; one that cannot be shown to be gone does not keep the others."""
    exit_code = 0
    for endpoint in services.endpoints.live():
        now = datetime.now(UTC)
        found = await limits_of(endpoint, services.endpoints, services.reach, now)
        _tell_unknown(services, endpoint, found)
        over = first_over(found)
        if over is None:
            continue
        exit_code = max(exit_code, LimitReached.exit_code)
        if dry_run:
            _show_what_would_end(endpoint, over, now, as_json)
            continue
        try:
            receipt = await services.terminate(endpoint, output.Narrator(endpoint.plan), over.why)
        except Exception as error:  # noqa: BLE001 — one that cannot be ended does not keep the others running
            output.tell_error(as_told(error))
            exit_code = StillThere.exit_code
            continue
        if as_json:
            output.result_json(output.as_json(receipt))
        else:
            output.show_receipt(receipt)
    if not exit_code and sys.stderr.isatty():  # cron would mail it
        output.tell("nothing is over its limits")
    return exit_code


def set_anew(services: Services, endpoint: Endpoint, limits: Limits) -> Endpoint:
    """The endpoint with these limits in place of its own of the same kind. Raises UsageError: nothing is rented."""
    plan = endpoint.plan
    if plan is None or limits == Limits():
        return endpoint
    check(limits, plan.cloud, rents=plan.rents)
    limits = merged(plan.limits, limits)
    output.tell(f"{endpoint.name}: its limits are now {in_words(limits)}")
    return services.endpoints.change(endpoint.id, plan=replace(plan, limits=limits))


def _tell_unknown(services: Services, endpoint: Endpoint, found: tuple[Standing, ...]) -> None:
    """What cannot be judged is said: nobody may rely on it."""
    if endpoint.plan and endpoint.plan.limits != Limits() and not launched_here(endpoint, services.endpoints):
        output.tell(f"{endpoint.name} was not launched from this computer: its limits are not kept here")
    for one in found:
        if one.unknown:
            output.tell(f"{endpoint.name}: how long it is idle is not known, {one.unknown}; that limit ends nothing")


def _show_what_would_end(endpoint: Endpoint, over: Standing, now: datetime, as_json: bool) -> None:
    spent = endpoint.spent_usd(now)
    if as_json:
        price = endpoint.price_cents_per_hour
        facts = {"name": endpoint.name, "cloud": endpoint.cloud, "price_cents_per_hour": price}
        output.result_json({**facts, "spent_usd": round(spent, 4), "over": over.kind, "why": over.why})
    else:
        cost = f"{per_hour(endpoint.price_cents_per_hour)}, {dollars(spent)} so far"
        if endpoint.launched is None:
            cost = "its launch was never answered: a machine may run"
        output.result(f"would end {endpoint.name} ({cost}): {over.why}")


async def within_limits(services: Services, name: str, work: Coroutine[Any, Any, T]) -> T:
    """Do the work while the endpoint of that name is within its limits; else stop it and end the machine.

    Raises:
        LimitReached: a limit was over, and the machine is proven gone.
        StillThere: a limit was over, and the machine may still run.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_until_over(services, name))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.wait({working, watching})
    endpoint, over = watching.result()
    output.tell(f"{endpoint.name}: {over.why}")
    endpoint = services.endpoints.get(endpoint.id)
    receipt = await services.terminate(endpoint, output.Narrator(endpoint.plan), over.why)
    raise LimitReached(
        f"{endpoint.name} has ended: {over.why}",
        f"its machine is gone after {receipt.minutes} min, about {dollars(receipt.usd)}",
    )


async def _until_over(services: Services, name: str) -> tuple[Endpoint, Standing]:
    """Look again and again until a limit of the endpoint of that name is over."""
    while True:
        pause = SHORTEST_PAUSE  # before the launch, limits begin any moment, and this look asks nobody
        for endpoint in services.endpoints.live():
            if endpoint.name != name:
                continue
            found = await limits_of(endpoint, services.endpoints, services.reach, datetime.now(UTC))
            if over := first_over(found):
                return endpoint, over
            if endpoint.launched:
                pause = min([LOOK_SECONDS, *(one.seconds_left for one in found if one.seconds_left is not None)])
        await asyncio.sleep(max(pause, SHORTEST_PAUSE))
