"""End an endpoint and prove that it is gone: ask, keep asking, and only then print the receipt (design §4)."""

from __future__ import annotations

import asyncio
import shlex
import time
from datetime import UTC, datetime

from llama_tui.core.errors import CloudRefused, CredentialRejected, HostUnreachable, LlamaTuiError, StillThere
from llama_tui.core.events import Emit, InstanceChanged, Said
from llama_tui.core.instances import GONE, Instance
from llama_tui.core.interfaces import Cloud
from llama_tui.core.money import Receipt, cost_usd, minutes_between, per_hour
from llama_tui.endpoints import Endpoint, Endpoints
from llama_tui.jobs.rent import Patience, reconcile
from llama_tui.jobs.set_up import host_script

STOP_SECONDS = 300.0
"""For a server to stop and its folder, ten GiB of vLLM perhaps, to be removed."""
ASK_AGAIN_SECONDS = 30.0
"""A machine that is still active this long after a terminate is asked again."""


async def terminate(
    endpoint: Endpoint,
    *,
    cloud: Cloud,
    endpoints: Endpoints,
    emit: Emit,
    patience: Patience,
    why: str = "you said so",
) -> Receipt:
    """End the endpoint; returns the receipt once nothing of it is left.

    Raises:
        StillThere: that could not be shown. It may still run, and cost.
    """
    endpoints.change(endpoint.id, state="ending")
    rents = endpoint.plan is not None and endpoint.plan.rents
    if rents:
        await _end_machine(endpoint, cloud, endpoints, emit, patience)
    elif endpoint.instance is not None:
        await _remove_from_host(endpoint, cloud, emit)
    receipt = _receipt(endpoints.get(endpoint.id), datetime.now(UTC), why)
    endpoints.end(endpoint.id, receipt)
    return receipt


def forget(endpoint: Endpoint, endpoints: Endpoints) -> Receipt:
    """Take a server that somebody else runs out of the record; it runs on."""
    receipt = _receipt(endpoint, datetime.now(UTC), "forgotten here; the server runs on")
    endpoints.end(endpoint.id, receipt)
    return receipt


async def _end_machine(
    endpoint: Endpoint, cloud: Cloud, endpoints: Endpoints, emit: Emit, patience: Patience
) -> None:
    """Ask the cloud until it lists the machine no more, or as terminated."""
    instance = endpoint.instance or await _find(endpoint, cloud, endpoints, patience)
    if instance is None:
        endpoints.change(endpoint.id, launched=None)
        return
    if endpoint.instance is None:
        endpoint = endpoints.change(endpoint.id, instance=instance, launched=endpoint.launched or datetime.now(UTC))
    started = time.monotonic()
    asked = 0.0
    trouble = ""
    seen = bool(instance.ip)
    emit(Said(f"ending {instance.id}"))
    while True:
        try:
            if asked == 0.0 or time.monotonic() - asked > ASK_AGAIN_SECONDS:
                endpoints.note(endpoint.id, "terminate asked", instance.id)
                await cloud.terminate(instance.id)
                asked = time.monotonic()
            listed = await cloud.instance(instance.id)
            # A machine that was launched a moment ago may not be listed yet: absent is not gone then.
            settled = seen or _age(endpoint) > patience.settle
            seen = seen or listed is not None
            if (listed is None and settled) or (listed is not None and listed.status in GONE):
                emit(Said("the cloud no longer lists it" if listed is None else f"it is {listed.status}"))
                endpoints.note(endpoint.id, "gone", instance.id)
                return
            if listed is not None and listed.status != instance.status:
                instance = listed
                emit(InstanceChanged(listed))
            trouble = f"the cloud still lists it as {listed.status}" if listed else "it may not be listed yet"
        except (CloudRefused, CredentialRejected) as error:
            trouble = error.sentence
            if isinstance(error, CredentialRejected):
                break
        if time.monotonic() - started > patience.terminate:
            break
        await asyncio.sleep(min(patience.poll, 2.0))
    raise may_still_run(endpoint, instance.id, trouble)


async def _find(endpoint: Endpoint, cloud: Cloud, endpoints: Endpoints, patience: Patience) -> Instance | None:
    """The machine of an endpoint whose launch was never answered. Raises StillThere: the account cannot be seen."""
    started = time.monotonic()
    while True:
        try:
            async with endpoints.launching(endpoint.id):
                known = endpoints.get(endpoint.id).instance
                return known or await reconcile(endpoint, cloud, endpoints, patience)
        except (CloudRefused, CredentialRejected) as error:
            if isinstance(error, CredentialRejected) or time.monotonic() - started > patience.terminate:
                raise may_still_run(endpoint, f"a machine named {endpoint.instance_name}", error.sentence) from error
        await asyncio.sleep(min(patience.poll, 2.0))


def may_still_run(endpoint: Endpoint, what: str, trouble: str) -> StillThere:
    """The error for a machine that could not be shown to be gone."""
    price = per_hour(endpoint.plan.instance_type.price_cents_per_hour) if endpoint.plan else "an unknown price"
    return StillThere(
        f"{what} may still run at {price}: {trouble}",
        f"try again: llama-tui down {endpoint.name}; or end it in the cloud's web console",
    )


def _age(endpoint: Endpoint) -> float:
    """Seconds since the launch."""
    return (datetime.now(UTC) - (endpoint.launched or endpoint.created)).total_seconds()


async def _remove_from_host(endpoint: Endpoint, cloud: Cloud, emit: Emit) -> None:
    """Stop the server on a machine that stays, and take its folder away. The weights' cache stays."""
    assert endpoint.instance is not None
    folder = shlex.quote(endpoint.directory)
    emit(Said("stopping the server and removing its folder"))
    try:
        async with cloud.connect(endpoint.instance) as host:
            there = await host.read(f"{endpoint.directory}/manifest.json")
            if not there:
                return
            # Our own run.sh, not the one there: a folder that lost its own, or has another, can be ended too.
            stop = f"sh -s -- stop {folder} && rm -rf {folder}"
            done = await host.run(stop, input=host_script("run.sh"), timeout=STOP_SECONDS)
            if done.exit_status == 0:
                return
            trouble = "its processes do not end"
    except HostUnreachable as error:
        trouble = error.sentence
    except LlamaTuiError as error:
        trouble = error.sentence
    raise StillThere(
        f"the server of {endpoint.name} may still run: {trouble}",
        f"once the machine answers, try again: llama-tui down {endpoint.name}",
    )


def _receipt(endpoint: Endpoint, ended: datetime, why: str) -> Receipt:
    plan = endpoint.plan
    started = endpoint.launched or endpoint.created
    return Receipt(
        name=endpoint.name,
        cloud=endpoint.cloud,
        instance_type=plan.instance_type.name if plan else "",
        region=endpoint.instance.region if endpoint.instance else "",
        started=started,
        ended=ended,
        minutes=minutes_between(started, ended),
        usd=cost_usd(endpoint.price_cents_per_hour, started, ended),
        why=why,
    )
