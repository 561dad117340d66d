"""Lambda On-Demand Cloud: machines by the minute over Lambda's public API (lambda-cloud-api.md §2, §4)."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from llama_tui.clouds import lambda_api
from llama_tui.clouds.lambda_answers import (
    AccountKey,
    Filesystem,
    FirewallRule,
    GeneratedKey,
    Image,
    Launched,
    Machine,
    Offer,
    Region,
)
from llama_tui.clouds.lambda_api import AnswerLost, LambdaApi, Retry, Timeouts
from llama_tui.clouds.pace import Pace
from llama_tui.clouds.ssh_key import NAME_LENGTH, SshKey, same_key
from llama_tui.core.errors import (
    CloudRefused,
    HostUnreachable,
    LlamaTuiError,
    NoCapacity,
    PreflightFailed,
    TooLate,
    UsageError,
    unknown,
)
from llama_tui.core.instances import GONE, Instance, InstanceType, Launch
from llama_tui.core.interfaces import Host
from llama_tui.redact import Secret

if TYPE_CHECKING:
    import httpx2

    from llama_tui.hosts.host_keys import HostKeys

USER = "ubuntu"
"""Who logs in on Lambda's images, with password-less sudo (lambda-cloud-api.md §4.6)."""

IMAGE_FAMILY = "lambda-stack-24-04"
"""Named in every launch, as the default differs by region (lambda-cloud-api.md §4.6)."""

TAGS = {"managed-by": "llama-tui"}
"""Put on every machine that we launch."""


class LambdaCloud:
    """One account of Lambda Cloud, or of whatever speaks its API.

    Every method raises CredentialMissing, CredentialRejected or CloudRefused besides what it names.

    Args:
        key: the account's API key. It may do everything; there are no lesser ones.
        base_url: without `/api/v1`.
        pace: shared by all that use the account on this computer.
        ssh_key: opens the machines that are launched; added to the account on first launch.
        host_keys: where host keys are pinned. A new machine has a new one, so it should trust those.
        ssh_config: OpenSSH config files for the way to the machines.
        name: what this cloud is called here.
        image_family: of the machines that are launched.
        user_agent: sent with every request.
        timeouts: of requests.
        retry: of reads.
        transport: for tests, instead of the network.
    """

    rents = True

    def __init__(
        self,
        *,
        key: Secret,
        base_url: str = lambda_api.BASE_URL,
        pace: Pace,
        ssh_key: SshKey,
        host_keys: HostKeys,
        ssh_config: Sequence[Path] = (),
        name: str = "lambda",
        image_family: str = IMAGE_FAMILY,
        user_agent: str = lambda_api.USER_AGENT,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self._api = LambdaApi(
            key=key,
            base_url=base_url,
            pace=pace,
            called="Lambda Cloud" if name == "lambda" else f"the {name} cloud",
            timeouts=timeouts,
            retry=retry,
            user_agent=user_agent,
            transport=transport,
        )
        self._ssh_key = ssh_key
        self._host_keys = host_keys
        self._ssh_config = ssh_config
        self._image_family = image_family

    async def aclose(self) -> None:
        """Close the connections to the API."""
        await self._api.aclose()

    # ---- the contract of core/interfaces.py

    async def instance_types(self) -> list[InstanceType]:
        """What can be rented, with prices and the regions that list it now; by price."""
        offers = await self._api.get("instance-types", dict[str, Offer], what="list the instance types")
        # A type without a price cannot be held to a budget, so it is not on offer.
        types = [
            one.as_type(name) for name, one in offers.items() if one.instance_type.price_cents_per_hour is not None
        ]
        return sorted(types, key=lambda one: (one.price_cents_per_hour, one.name))

    async def instances(self) -> list[Instance]:
        """Every machine of the account."""
        listed = await self._api.get("instances", list[Machine], what="list the instances")
        return [one.as_instance() for one in listed]

    async def instance(self, id: str) -> Instance | None:  # noqa: A002
        """One machine; None when the account does not have it (any more)."""
        try:
            return (
                await self._api.get(f"instances/{_quoted(id)}", Machine, what=f"show instance {id}")
            ).as_instance()
        except CloudRefused as error:
            # Only Lambda's own word counts: a 404 of some other server does not mean that a machine is gone.
            if error.code == lambda_api.DOES_NOT_EXIST:
                return None
            raise

    async def launch(self, request: Launch) -> str:
        """Ask once for a machine and return its id.

        Raises:
            NoCapacity: there is none; the hint names the regions that list the type.
            TooLate: its turn came after `request.not_after`; nothing was asked for.
            CloudRefused: with code `launch/answer-lost` when the launch may have happened: look for the name in
                `instances` before another one. Any other code: it did not happen.
        """
        key_name = await self._ssh_key_name()
        body: dict[str, Any] = {
            "region_name": request.region,
            "instance_type_name": request.instance_type,
            "ssh_key_names": [key_name],
            "name": request.name,
            "image": {"family": request.image_family or self._image_family},
            "tags": [{"key": key, "value": value} for key, value in TAGS.items()],
        }
        if request.filesystem:
            body["file_system_names"] = [request.filesystem]
        what = f"launch {request.instance_type} in {request.region}"
        try:
            launched = await self._api.request(
                "POST",
                "instance-operations/launch",
                Launched,
                what=what,
                body=body,
                repeat="throttled",
                launch=True,
                not_after=request.not_after,
            )
            if launched.instance_ids:
                return launched.instance_ids[0]
            sentence, status = f"the answer to {what} names no instance", 200
        except TooLate:
            raise
        except NoCapacity as error:
            hint = await self._where(request.instance_type)
            raise NoCapacity(error.sentence, hint, code=error.code, status=error.status) from None
        except CloudRefused as error:
            if not _may_have_happened(error):
                raise
            sentence, status = error.sentence, error.status
        hint = f"it may have happened all the same: look for {request.name} in llama-tui ls before another launch"
        raise CloudRefused(sentence, hint, code=lambda_api.ANSWER_LOST, status=status)

    async def terminate(self, id: str) -> None:  # noqa: A002
        """Ask once for a machine's end. One that is ending or gone is fine, whatever the answer was."""
        body = {"instance_ids": [id]}
        try:
            await self._api.request(
                "POST", "instance-operations/terminate", msgspec.Raw, what=f"terminate instance {id}", body=body
            )
        except CloudRefused as error:
            if error.code == lambda_api.DOES_NOT_EXIST:
                return
            # Of a machine that is terminating already Lambda says `global/unknown` (lambda-cloud-api.md §3).
            if error.code.startswith("http/"):
                raise
            now = await self.instance(id)
            if now is not None and now.status not in GONE | {"terminating"}:
                raise

    @asynccontextmanager
    async def connect(self, instance: Instance) -> AsyncIterator[Host]:
        """Reach a machine over SSH while the context lasts."""
        if not instance.ip:
            raise HostUnreachable(
                f"{instance.name or instance.id} has no address yet: it is {instance.status}",
                "wait: the address comes in the first minute of booting",
            )
        from llama_tui.hosts.ssh import SshHost

        await asyncio.to_thread(self._ssh_key.public)
        host = SshHost(
            f"{USER}@{instance.ip}",
            config=self._ssh_config,
            host_keys=self._host_keys,
            # Addresses are used again for other machines, so a host key is pinned to the instance.
            alias=f"llama-tui-{re.sub(r'[^A-Za-z0-9-]', '-', instance.id)}",
            identity=self._ssh_key.private,
        )
        async with host as connected:
            yield connected

    # ---- the rest of the account

    async def restart(self, id: str) -> None:  # noqa: A002
        """Restart a machine; it keeps its disk, its address and its price."""
        body = {"instance_ids": [id]}
        await self._api.request(
            "POST", "instance-operations/restart", msgspec.Raw, what=f"restart instance {id}", body=body
        )

    async def rename(self, id: str, name: str) -> Instance:  # noqa: A002
        """Give a machine another name, of up to 64 characters."""
        path = f"instances/{_quoted(id)}"
        what = f"rename instance {id}"
        return (await self._api.request("POST", path, Machine, what=what, body={"name": name})).as_instance()

    async def regions(self) -> list[Region]:
        """The regions; where the API does not list them (before 1.10), those that images and types name."""
        try:
            return await self._api.get("regions", list[Region], what="list the regions")
        except CloudRefused as error:
            if error.status not in (404, 405):
                raise
        codes = {image.region.name: image.region for image in await self.images() if image.region}
        for one in await self.instance_types():
            for code in one.regions:
                codes.setdefault(code, Region(code))
        return [codes[code] for code in sorted(codes)]

    async def images(self) -> list[Image]:
        """Every image, by region and version."""
        return await self._api.get("images", list[Image], what="list the images")

    async def filesystems(self) -> list[Filesystem]:
        """The account's persistent filesystems."""
        return await self._api.get("file-systems", list[Filesystem], what="list the filesystems")

    async def region_of_filesystem(self, name: str) -> str:
        """Where a filesystem is: a machine that has it must be there too. Raises UsageError."""
        found = {one.name: one for one in await self.filesystems()}
        if name not in found:
            missing = unknown("filesystem", name, found)
            hint = f"{missing.hint}; or make it: --create-filesystem (Lambda bills $0.20 per GiB and month)"
            raise UsageError(missing.sentence, hint)
        region = found[name].region
        return region.name if region else ""

    async def create_filesystem(self, name: str, region: str) -> Filesystem:
        """Make a persistent filesystem; it costs money from now on."""
        what = f"create the filesystem {name}"
        body = {"name": name, "region": region}
        # Listing is hyphenated, creating is not (lambda-cloud-api.md §2).
        return await self._api.request("POST", "filesystems", Filesystem, what=what, body=body)

    async def firewall_rules(self) -> list[FirewallRule]:
        """The rules for all machines of the account. They are never written: that would replace all of them."""
        return await self._api.get("firewall-rules", list[FirewallRule], what="list the firewall rules")

    async def ssh_keys(self) -> list[AccountKey]:
        """The public SSH keys of the account."""
        return await self._api.get("ssh-keys", list[AccountKey], what="list the SSH keys")

    async def add_ssh_key(self, name: str, public_key: str) -> AccountKey:
        """Add a public key to the account."""
        body = {"name": name, "public_key": public_key}
        return await self._api.request("POST", "ssh-keys", AccountKey, what=f"add the SSH key {name}", body=body)

    async def generate_ssh_key(self, name: str) -> Secret:
        """Let the cloud make a key pair; returns the private half (PEM), which the cloud does not keep."""
        what = f"generate the SSH key {name}"
        return Secret(
            (await self._api.request("POST", "ssh-keys", GeneratedKey, what=what, body={"name": name})).private_key
        )

    async def ssh_key_state(self) -> str:
        """What there is of our key on both sides; nothing is added."""
        line = await asyncio.to_thread(self._ssh_key.public)
        file, home = self._ssh_key.private, Path.home()
        shown = f"~/{file.relative_to(home)}" if file.is_relative_to(home) else str(file)
        for key in await self.ssh_keys():
            if same_key(key.public_key or "") == same_key(line):
                return f"{shown} opens it; the account has it as {key.name}"
        return f"{shown} opens it; it is added to the account at the launch, as {self._ssh_key.name}"

    async def firewall_state(self) -> str:
        """From where SSH reaches the account's machines; nothing is written.

        Raises:
            PreflightFailed: no rule lets SSH in.
        """
        rules = [rule for rule in await self.firewall_rules() if rule.lets_in(22)]
        if not rules:
            raise PreflightFailed(
                "no firewall rule of the account lets SSH in",
                "add one for TCP port 22 on the Firewall page of cloud.lambda.ai: no machine is reachable without it",
            )
        sources = sorted({rule.source_network or "anywhere" for rule in rules})
        return f"SSH is let in from {', '.join(sources)}"

    async def _ssh_key_name(self) -> str:
        """The account's name for our key, which is added where it is missing."""
        line = await asyncio.to_thread(self._ssh_key.public)
        for last in (False, True):
            keys = await self.ssh_keys()
            for key in keys:
                if same_key(key.public_key or "") == same_key(line):
                    return key.name
            name = self._ssh_key.name
            if name in {key.name for key in keys}:
                mark = hashlib.sha256(same_key(line)[1].encode()).hexdigest()[:8]
                name = f"{name[: NAME_LENGTH - 9]}-{mark}"
            try:
                return (await self.add_ssh_key(name, line)).name
            except CloudRefused as error:
                # Another process may have added it between our two calls; then the list has it now.
                if last or error.code not in ("global/duplicate", "global/invalid-parameters"):
                    raise
        raise AssertionError("unreachable")

    async def _where(self, instance_type: str) -> str:
        """Where a type is to be had, as a hint."""
        found: Mapping[str, InstanceType] = {}
        with suppress(LlamaTuiError):
            found = {one.name: one for one in await self.instance_types()}
        if instance_type in found and found[instance_type].regions:
            return f"{instance_type} is listed now in {', '.join(found[instance_type].regions)}"
        return f"no region lists {instance_type} now: choose another type, or wait" if found else ""


def _may_have_happened(error: CloudRefused) -> bool:
    """Whether a launch that failed so may have started a machine: by a lost answer, or a fault on the way."""
    faults = ("global/unknown", "global/internal-error")
    return (
        isinstance(error, AnswerLost)
        or error.status >= 500
        or error.status == 408
        or 200 <= error.status < 300
        or error.code in faults
        or error.code.startswith("provider/")
    )


def _quoted(id: str) -> str:  # noqa: A002
    return quote(id, safe="")
