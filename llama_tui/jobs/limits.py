"""Look where the limits of an endpoint stand: of one that was launched from this computer, the rest is not ours.

Idle is what the server's own request counters say. Counters only grow, so a count that is the same at two looks means
that nothing was asked between them, however long nobody looked and whoever the clients are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime

from llama_tui.core.errors import LlamaTuiError, as_told
from llama_tui.core.limits import Standing, first_over, standings
from llama_tui.endpoints import Endpoint, Endpoints
from llama_tui.jobs.reach import HEALTH_SECONDS, Server, client_of
from llama_tui.jobs.rent import LAUNCH_ASKED, may_have_launched

LOOK_SECONDS = 60.0
"""Between two looks at the limits of an endpoint."""
REACH_SECONDS = 30.0
"""For one look at the counters of a server; then they are not known."""

_DONE = frozenset({"vllm:request_success_total", "llamacpp:n_decode_total"})
"""Counters that grow with every request, also with one that was broken off (vllm.md §4.4)."""
_AT_WORK = frozenset(
    {
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "llamacpp:requests_processing",
        "llamacpp:requests_deferred",
    }
)
"""Requests that are being answered, or wait for it."""

Reach = Callable[[Endpoint], AbstractAsyncContextManager[Server]]
"""`Services.reach`."""


def launched_here(endpoint: Endpoint, endpoints: Endpoints) -> bool:
    """Was its machine launched from this computer? Adopted endpoints and machines of one's own were not."""
    rents = endpoint.plan is not None and endpoint.plan.rents
    return rents and endpoints.noted(endpoint.id, LAUNCH_ASKED) is not None


def recorded(
    endpoint: Endpoint, endpoints: Endpoints, now: datetime, idle_seconds: float | None = None
) -> tuple[Standing, ...]:
    """Every limit of an endpoint by the record alone; none for one that was not launched from this computer.

    A launch whose answer was lost counts from when it was asked for.
    """
    plan = endpoint.plan
    if plan is None or not launched_here(endpoint, endpoints):
        return ()
    launched = endpoint.launched
    if launched is None and may_have_launched(endpoint, endpoints):
        launched = endpoints.noted(endpoint.id, LAUNCH_ASKED)
    return standings(
        plan.limits,
        launched=launched,
        now=now,
        price_cents_per_hour=endpoint.price_cents_per_hour or plan.instance_type.price_cents_per_hour,
        idle_seconds=idle_seconds,
    )


async def limits_of(endpoint: Endpoint, endpoints: Endpoints, reach: Reach, now: datetime) -> tuple[Standing, ...]:
    """The same, with what the server says of its requests; what is learned of them is recorded."""
    found = recorded(endpoint, endpoints, now)
    if first_over(found) or "idle" not in (one.kind for one in found):
        return found
    try:
        return recorded(endpoint, endpoints, now, await _idle_seconds(endpoint, endpoints, reach, now))
    except Exception as error:  # noqa: BLE001 — whatever keeps one from being asked keeps no other from its end
        told = as_told(error).sentence
        return tuple(replace(one, unknown=told) if one.kind == "idle" else one for one in found)


async def _idle_seconds(endpoint: Endpoint, endpoints: Endpoints, reach: Reach, now: datetime) -> float:
    """How long the server has had no request, as far as the looks at it tell. Raises LlamaTuiError: not known."""
    if endpoint.state != "ready":
        raise LlamaTuiError("its server is not up")
    try:
        async with asyncio.timeout(REACH_SECONDS), reach(endpoint) as server:
            done, at_work = await counters(server)
    except TimeoutError as error:
        raise LlamaTuiError("its machine does not answer") from error
    if done != endpoint.work_done or at_work or endpoint.idle_since is None:
        endpoints.change(endpoint.id, work_done=done, idle_since=now)
        return 0.0
    return (now - endpoint.idle_since).total_seconds()


async def counters(server: Server) -> tuple[int, int]:
    """What the server has done so far, and how many requests it has at work.

    Raises:
        LlamaTuiError: it does not tell.
    """
    import httpx2

    async with client_of(server) as client:
        try:
            answer = await client.get("/metrics", timeout=HEALTH_SECONDS, follow_redirects=True)
        except httpx2.HTTPError as error:
            raise LlamaTuiError("its server does not answer") from error
    counted = read_counters(answer.text) if answer.status_code == 200 else None
    if counted is None:
        raise LlamaTuiError("its server has no request counters")
    return counted


def read_counters(metrics: str) -> tuple[int, int] | None:
    """The same of an answer of /metrics, over all its engines; None where the counters are not in it.

    A counter that has never counted may be left out (vLLM 0.4.3), so one of either kind is enough.
    """
    done = at_work = 0.0
    found = False
    for line in metrics.splitlines():
        series, _, value = line.rpartition(" ")
        name = series.partition("{")[0]
        if name not in _DONE | _AT_WORK:
            continue
        try:
            number = float(value)
        except ValueError:
            return None
        found = True
        if name in _DONE:
            done += number
        else:
            at_work += number
    return (int(done), int(at_work)) if found else None
