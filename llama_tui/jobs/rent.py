"""Get the machine of an endpoint, once, whatever happens on the way (design §4).

The intent is on disk before the launch, the instance id as soon as it is known. In between lies the only moment at
which a machine may exist that we have no id for; it is found again by its unique name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from llama_tui.core.errors import (
    CloudRefused,
    CredentialRejected,
    HostUnreachable,
    NoCapacity,
    SetupFailed,
    TooDear,
    TooLate,
)
from llama_tui.core.events import Emit, InstanceChanged, Said
from llama_tui.core.instances import DOOMED, GONE, Instance, Launch
from llama_tui.core.interfaces import Cloud
from llama_tui.core.money import per_hour
from llama_tui.endpoints import Endpoint, Endpoints

LAUNCH_ASKED = "launch asked"
"""Journal line, committed before the launch call."""
LAUNCH_REFUSED = "launch refused"
"""Journal line: the cloud answered that there is no machine."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long nothing may change before a wait ends, and how often to look. Seconds."""

    settle: float = 30.0
    """A launch whose answer was lost must show up in the account within this time."""
    boot: float = 1800.0
    """A booting machine may show the same face this long (8x H100: 20-25 min, lambda-cloud-api.md §4.2)."""
    poll: float = 5.0
    """Between two looks at a booting machine."""
    terminate: float = 900.0
    """A terminated machine must have left the account within this time."""
    setup: float = 1800.0
    """No output and no end of a step for this long ends the watching."""


async def find_by_name(endpoint: Endpoint, cloud: Cloud) -> Instance | None:
    """The machine of an endpoint whose id was never learned, by its unique name."""
    return _named(endpoint, await cloud.instances())


def _named(endpoint: Endpoint, listed: Iterable[Instance]) -> Instance | None:
    return next((one for one in listed if one.name == endpoint.instance_name and one.status not in GONE), None)


def may_have_launched(endpoint: Endpoint, endpoints: Endpoints) -> bool:
    """Was a launch asked for whose answer is not known?"""
    asked = endpoints.noted(endpoint.id, LAUNCH_ASKED)
    refused = endpoints.noted(endpoint.id, LAUNCH_REFUSED)
    return asked is not None and not (refused and refused >= asked)


def learn(listed: list[Instance], endpoints: Endpoints) -> None:
    """Give endpoints whose launch was never answered the machines that came of it, from a list of their account."""
    for endpoint in endpoints.live():
        found = _named(endpoint, listed)
        if found and endpoint.instance is None and may_have_launched(endpoint, endpoints):
            launched = endpoints.noted(endpoint.id, LAUNCH_ASKED)
            endpoints.change(endpoint.id, instance=found, launched=launched)


async def reconcile(endpoint: Endpoint, cloud: Cloud, endpoints: Endpoints, patience: Patience) -> Instance | None:
    """Did an earlier launch of this endpoint come through? Looks until it must have shown up.

    Raises:
        CloudRefused, CredentialRejected: the account could not be looked at, so that it is not known.
    """
    asked = endpoints.noted(endpoint.id, LAUNCH_ASKED)
    if asked is None or not may_have_launched(endpoint, endpoints):
        return None
    while True:
        left = patience.settle - (datetime.now(UTC) - asked).total_seconds()
        try:
            if found := await find_by_name(endpoint, cloud):
                return found
        except CloudRefused as error:
            if left <= 0 or not error.passes:
                raise
        if left <= 0:
            return None
        await asyncio.sleep(min(left, patience.poll))


async def rent(
    endpoint: Endpoint,
    cloud: Cloud,
    endpoints: Endpoints,
    emit: Emit,
    patience: Patience,
    *,
    not_after: float = 0.0,
) -> Endpoint:
    """The endpoint with a machine that answers over SSH.

    `not_after`, in seconds since the epoch: no launch is sent later; 0 is no deadline.

    Raises:
        UsageError: another process has ended the endpoint meanwhile.
        NoCapacity: no region that is allowed has one; nothing was launched.
        SetupFailed: the machine was launched and did not come up, or is gone.
    """
    endpoint = await _launched(endpoint, cloud, endpoints, emit, patience, not_after)
    return await _answering(endpoint, cloud, endpoints, emit, patience)


async def _launched(
    endpoint: Endpoint, cloud: Cloud, endpoints: Endpoints, emit: Emit, patience: Patience, not_after: float
) -> Endpoint:
    async with endpoints.launching(endpoint.id):
        # Another process may have been quicker, or have ended it: a machine that is launched then is in no record.
        endpoint = endpoints.wanted(endpoint.id)
        if endpoint.instance is not None:
            return endpoint
        assert endpoint.plan is not None
        launched = datetime.now(UTC)
        if found := await reconcile(endpoint, cloud, endpoints, patience):
            launched = endpoints.noted(endpoint.id, LAUNCH_ASKED) or launched
            emit(Said(f"found {found.id}, launched before"))
        else:
            if endpoint.launched:  # counted while nobody knew
                endpoint = endpoints.change(endpoint.id, launched=None)
            found = await _launch(endpoint, cloud, endpoints, emit, patience, not_after)
        return endpoints.change(endpoint.id, instance=found, launched=launched, state="booting")


async def _launch(
    endpoint: Endpoint, cloud: Cloud, endpoints: Endpoints, emit: Emit, patience: Patience, not_after: float
) -> Instance:
    plan = endpoint.plan
    assert plan is not None
    kind = plan.instance_type
    regions = [plan.region] if plan.region else list(kind.regions)
    if cloud.rents and not regions:
        raise NoCapacity(
            f"{kind.name} is nowhere to be had now", "see what is: llama-tui types --cloud " + plan.cloud
        )
    for region in regions or [""]:
        emit(
            Said(f"launching {kind.name}" + (f" in {region}" if region else ""))
            if cloud.rents
            else Said("connecting")
        )
        endpoints.note(endpoint.id, LAUNCH_ASKED, f"{kind.name} {region}")
        try:
            id_ = await cloud.launch(
                Launch(
                    endpoint.instance_name,
                    kind.name,
                    region,
                    image_family=plan.image_family,
                    filesystem=plan.filesystem,
                    not_after=not_after,
                )
            )
        except NoCapacity as error:
            endpoints.note(endpoint.id, LAUNCH_REFUSED, error.code)
            if isinstance(error, TooLate):
                raise
            emit(Said(f"no capacity in {region}"))
            continue
        except (CloudRefused, CredentialRejected) as error:
            if getattr(error, "code", "") != "launch/answer-lost":
                endpoints.note(endpoint.id, LAUNCH_REFUSED, str(error))
                raise
            emit(Said("the answer to the launch was lost; looking for the machine in the account"))
            if found := await reconcile(endpoint, cloud, endpoints, patience):
                return found
            raise
        endpoints.note(endpoint.id, "launched", id_)
        return Instance(id_, endpoint.instance_name, "booting", kind.name, region, kind.price_cents_per_hour)
    raise NoCapacity(
        f"{kind.name} is not to be had in {', '.join(regions)}", "see what is: llama-tui types --cloud " + plan.cloud
    )


async def _answering(
    endpoint: Endpoint, cloud: Cloud, endpoints: Endpoints, emit: Emit, patience: Patience
) -> Endpoint:
    """Wait for the address, then for SSH. `active` is not waited for: sshd is often up before (§4.2)."""
    assert endpoint.instance is not None
    id_ = endpoint.instance.id
    shown = None
    trouble = ""
    changed = time.monotonic()
    while True:
        endpoint = endpoints.wanted(endpoint.id)
        try:
            listed = await cloud.instance(id_)
        except CloudRefused as error:  # the machine boots on while the API has its troubles
            if time.monotonic() - changed > patience.boot:
                raise
            if error.sentence != trouble:
                trouble = error.sentence
                emit(Said(f"{trouble}; asking again"))
            await asyncio.sleep(patience.poll)
            continue
        if listed is None and time.monotonic() - changed > patience.settle:
            raise SetupFailed(f"the machine {id_} is gone", f"forget it: llama-tui down {endpoint.name}")
        if listed is not None and (listed.status, listed.ip) != shown:
            shown, changed = (listed.status, listed.ip), time.monotonic()
            agreed = endpoint.price_cents_per_hour
            endpoint = endpoints.change(endpoint.id, instance=listed)
            emit(InstanceChanged(listed))
            _look_at_price(endpoint, agreed, emit)
        if listed is not None and listed.status in DOOMED:
            raise SetupFailed(f"the machine came up {listed.status}", "end it and try another region or type")
        if listed is not None and (listed.ip or not cloud.rents):
            try:
                async with cloud.connect(listed):
                    return endpoint
            except HostUnreachable as error:
                if not cloud.rents:
                    raise
                reason = error.sentence
            except CredentialRejected as error:  # keys are put in place while it boots, perhaps after sshd is up
                if listed.status != "booting":
                    raise
                reason = error.sentence
        else:
            reason = f"it is {listed.status}, without an address" if listed else "it is not in the account yet"
        if time.monotonic() - changed > patience.boot:
            raise SetupFailed(f"the machine did not come up: {reason}", "end it and try another region or type")
        await asyncio.sleep(patience.poll)


def _look_at_price(endpoint: Endpoint, agreed: int, emit: Emit) -> None:
    """A price that is another than the one that was agreed to is said. Raises TooDear over the one allowed."""
    price, most = endpoint.price_cents_per_hour, endpoint.plan.max_cents_per_hour if endpoint.plan else 0
    if most and price > most:
        raise TooDear(
            f"the machine costs {per_hour(price)}, and no more than {per_hour(most)} is allowed",
            "a higher --max-price allows it",
        )
    if agreed and price != agreed:
        emit(Said(f"! it costs {per_hour(price)}, not {per_hour(agreed)} as was listed"))
