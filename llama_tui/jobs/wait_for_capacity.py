"""Deploy on the first of the allowed machines that is to be had, now or until a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from llama_tui.core.errors import CloudRefused, NoCapacity
from llama_tui.core.events import Emit, Said
from llama_tui.core.plan import Plan
from llama_tui.endpoints import Endpoint

LOOK_SECONDS = 20.0
"""Between two looks at what is to be had; each costs one call of the account's pace (lambda-cloud-api.md §8)."""


async def deploy_where_possible(
    plan: Plan,
    *,
    others: bool,
    replan: Callable[[frozenset[str]], Awaitable[Plan | None]],
    deploy: Callable[[Plan, float], Awaitable[Endpoint]],
    emit: Emit,
    wait_seconds: float = 0.0,
    look_seconds: float = LOOK_SECONDS,
) -> Endpoint:
    """The endpoint, on the first machine that a launch got.

    A launch comes only after the one before was refused for want of capacity, so there is never a second machine;
    any other failure ends the search. None is asked for after the deadline.

    Args:
        plan: the first to try.
        others: another type may be taken when the first is not to be had.
        replan: the plan for what is to be had now, without these types; None when there is nothing.
        deploy: carries one plan out, with no launch after these seconds since the epoch (0: at any time). Raises
            NoCapacity when nothing was launched.
        emit: told of each attempt.
        wait_seconds: how long to wait for capacity; 0: not at all.
        look_seconds: between two looks.

    Raises:
        NoCapacity: there is none, or there was none until the deadline.
    """
    # The wall clock: that of the machine stands still while a lid is closed, and a launch would come hours late.
    deadline = time.time() + wait_seconds
    candidate: Plan | None = plan
    trouble = ""

    async def look(without: frozenset[str]) -> Plan | None:
        """What is to be had now. Hours of waiting outlast a fault at the cloud, and a network that is lost."""
        nonlocal trouble
        try:
            return await replan(without)
        except CloudRefused as error:
            if not wait_seconds or not error.passes:
                raise
            if error.sentence != trouble:
                trouble = error.sentence
                emit(Said(f"{trouble}; looking again"))
            return None

    while True:
        refused: NoCapacity | None = None
        without: frozenset[str] = frozenset()
        while candidate is not None and (not wait_seconds or time.time() < deadline):
            try:
                return await deploy(candidate, deadline if wait_seconds else 0.0)
            except NoCapacity as error:
                refused = error
                without |= {candidate.instance_type.name}
                if not others:
                    break
                candidate = await look(without)
                if candidate:
                    emit(Said(f"{error.sentence}; trying {candidate.instance_type.name}"))
        left = deadline - time.time()
        if left <= 0:
            raise _none(plan, refused, wait_seconds)
        until = datetime.now() + timedelta(seconds=left)
        emit(Said(f"nothing is to be had; looking again every {look_seconds:.0f} s until {until:%H:%M}"))
        candidate = None
        while candidate is None:
            await asyncio.sleep(min(look_seconds, max(deadline - time.time(), 0)))
            if time.time() >= deadline:
                raise _none(plan, refused, wait_seconds)
            candidate = await look(frozenset())
        emit(Said(f"{candidate.instance_type.name} is to be had in {', '.join(candidate.instance_type.regions)}"))


def _none(plan: Plan, refused: NoCapacity | None, wait_seconds: float) -> NoCapacity:
    sentence = refused.sentence if refused else f"{plan.instance_type.name} is nowhere to be had now"
    if wait_seconds:
        sentence += f", and was not for {timedelta(seconds=round(wait_seconds))}"
        return NoCapacity(sentence, "allow other types or regions, a higher --max-price, or wait longer")
    hint = refused.hint if refused else ""
    return NoCapacity(sentence, hint or "wait for it: up --wait 3h; or allow others: --type, --max-price")
