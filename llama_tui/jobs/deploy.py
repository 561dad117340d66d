"""Carry out a plan: from nothing to an endpoint that answers. Doing it again goes on where it stopped."""

from __future__ import annotations

from collections.abc import Mapping

from llama_tui.core.errors import LlamaTuiError, NoCapacity, TooDear
from llama_tui.core.events import Emit, Said
from llama_tui.core.interfaces import Cloud, LogReader
from llama_tui.core.plan import Plan
from llama_tui.endpoints import Endpoint, Endpoints
from llama_tui.jobs.reach import machine_runs
from llama_tui.jobs.rent import LAUNCH_ASKED, Patience, may_have_launched, rent
from llama_tui.jobs.set_up import set_up
from llama_tui.jobs.terminate import terminate
from llama_tui.redact import Secret


async def deploy(
    plan: Plan,
    *,
    cloud: Cloud,
    endpoints: Endpoints,
    secrets: Mapping[str, Secret],
    reader: LogReader,
    emit: Emit,
    patience: Patience,
    not_after: float = 0.0,
) -> Endpoint:
    """The endpoint of this plan, ready. Cancelled or killed, it leaves what it has begun to the next call.

    `not_after`, in seconds since the epoch: no launch is sent later; 0 is no deadline.

    Raises:
        UsageError: its name belongs to another endpoint, or somebody has ended it meanwhile.
        NoCapacity: there is no machine; nothing was launched.
        PreflightFailed, SetupFailed: with a hint that says whether a machine still runs and what it costs.
    """
    endpoint = endpoints.intend(plan)
    try:
        endpoint = await rent(endpoint, cloud, endpoints, emit, patience, not_after=not_after)
        return await set_up(endpoint, cloud, endpoints, secrets, reader, emit, patience)
    except LlamaTuiError as error:
        endpoint = endpoints.wanted(endpoint.id)  # of what somebody has ended there is nothing left to clean up
        await _clean_up(endpoint, error, cloud, endpoints, emit, patience)
        raise


async def _clean_up(
    endpoint: Endpoint, error: LlamaTuiError, cloud: Cloud, endpoints: Endpoints, emit: Emit, patience: Patience
) -> None:
    """Leave nothing running unsaid: end what costs, or put into the error's hint that it goes on."""
    plan = endpoint.plan
    assert plan is not None
    async with endpoints.launching(endpoint.id):
        # Another process may be launching for this endpoint: what it gets must not be ended here, nor its record.
        endpoint = endpoints.get(endpoint.id)
        if endpoint.launched is None and not (plan.rents and may_have_launched(endpoint, endpoints)):
            endpoints.end(endpoint.id, None)
            return
    if isinstance(error, NoCapacity):
        return
    # A launch whose answer was lost may have come through: it counts from when it was asked for, until it is known.
    launched = endpoint.launched or endpoints.noted(endpoint.id, LAUNCH_ASKED)
    endpoint = endpoints.change(endpoint.id, state="failed", failure=error.sentence, launched=launched)
    if plan.rents and (plan.on_failure == "terminate" or isinstance(error, TooDear)):
        emit(Said("setup failed; ending the machine"))
        receipt = await terminate(
            endpoint,
            cloud=cloud,
            endpoints=endpoints,
            emit=emit,
            patience=patience,
            why=f"setup failed: {error.sentence}",
        )
        error.hint = (
            f"{error.hint}; the machine was ended after {receipt.minutes} min, about ${receipt.usd:.2f}".lstrip("; ")
        )
        return
    error.hint = machine_runs(endpoint, error)
    if not plan.rents:
        error.hint = (
            f"{error.hint}; what was set up is kept for the next try, remove it: llama-tui down {endpoint.name}"
        )
