"""What Lambda's API answers (lambda-cloud-api.md §2), as far as we read it.

A field that is not named here is dropped where it arrives: so are all that carry a secret (`jupyter_token`,
`jupyter_url`, `user_data`). What may be absent may also be null. A word that we do not know is kept as it is.
"""

from __future__ import annotations

import ipaddress
import re

import msgspec

from llama_tui.core.instances import Instance, InstanceType, gpu_memory_gib


class Region(msgspec.Struct, frozen=True):
    """A place with machines."""

    name: str
    """Its code, as `us-east-1`."""
    description: str | None = None


class Image(msgspec.Struct, frozen=True):
    """An image; there is one entry for each region and version."""

    id: str
    family: str | None = None
    name: str | None = None
    version: str | None = None
    architecture: str | None = None
    region: Region | None = None


class AccountKey(msgspec.Struct, frozen=True):
    """An SSH key that the account holds."""

    id: str
    name: str
    public_key: str | None = None


class Filesystem(msgspec.Struct, frozen=True):
    """A persistent filesystem; it costs money until it is deleted, attached or not."""

    id: str
    name: str
    mount_point: str | None = None
    region: Region | None = None
    is_in_use: bool | None = None
    bytes_used: float | None = None
    """Approximate, and hours late."""


class FirewallRule(msgspec.Struct, frozen=True):
    """One rule of what reaches the account's machines from outside."""

    protocol: str
    port_range: list[int] | None = None
    source_network: str | None = None
    description: str | None = None

    def lets_in(self, port: int) -> bool:
        """Whether TCP connections to this port are let in. A rule without ports is for all of them."""
        first, last = (self.port_range or [port])[0], (self.port_range or [port])[-1]
        return self.protocol in ("tcp", "all") and first <= port <= last


class Launched(msgspec.Struct, frozen=True):
    """The answer to a launch."""

    instance_ids: list[str]


class GeneratedKey(msgspec.Struct, frozen=True):
    """The answer to a request to make an SSH key; the private half is told once."""

    private_key: str

    def __repr__(self) -> str:
        return "GeneratedKey()"


class Specs(msgspec.Struct, frozen=True):
    """What is in a machine."""

    vcpus: float | None = None
    memory_gib: float | None = None
    storage_gib: float | None = None
    gpus: float | None = None


class Kind(msgspec.Struct, frozen=True):
    """An `instance_type`, as it stands in offers and in instances."""

    name: str = ""
    description: str | None = None
    gpu_description: str | None = None
    price_cents_per_hour: float | None = None
    specs: Specs | None = None
    architecture: str | None = None


class Offer(msgspec.Struct, frozen=True):
    """One value of the object that `/instance-types` answers."""

    instance_type: Kind
    regions_with_capacity_available: list[Region] | None = None

    def as_type(self, name: str) -> InstanceType:
        """The type in our words; `name` is the key under which the offer stands."""
        kind = self.instance_type
        specs = kind.specs or Specs()
        description = kind.description or ""
        card = kind.gpu_description or ""
        if specs.gpus is not None:
            gpus = round(specs.gpus)
        else:  # in old answers the number stands in the description only
            counted = re.match(r"(\d+)x ", description)
            gpus = int(counted.group(1)) if counted and name.startswith("gpu_") and card != "N/A" else 0
        # Before 1.10 there is no architecture; Grace machines are arm64 (lambda-cloud-api.md §2.1).
        grace = re.search(r"_g[hb]200", name)
        return InstanceType(
            name=name,
            description=description,
            gpus=gpus,
            gpu_memory_gib=(gpu_memory_gib(description) or gpu_memory_gib(card)) if gpus else 0.0,
            vcpus=round(specs.vcpus or 0),
            memory_gib=round(specs.memory_gib or 0),
            storage_gib=round(specs.storage_gib or 0),
            price_cents_per_hour=round(kind.price_cents_per_hour or 0),
            architecture=kind.architecture or ("arm64" if grace else "x86_64"),
            regions=tuple(region.name for region in self.regions_with_capacity_available or ()),
        )


class Machine(msgspec.Struct, frozen=True):
    """One entry of `/instances`."""

    id: str
    status: str | None = None
    name: str | None = None
    ip: str | None = None
    region: Region | None = None
    instance_type: Kind | None = None

    def as_instance(self) -> Instance:
        """The machine in our words."""
        kind = self.instance_type or Kind()
        return Instance(
            id=self.id,
            name=self.name or "",
            status=self.status or "unknown",
            instance_type=kind.name,
            region=self.region.name if self.region else "",
            price_cents_per_hour=round(kind.price_cents_per_hour or 0),
            ip=_address(self.ip or ""),
        )


def _address(text: str) -> str:
    """An IP address, or nothing: whatever else stands there is not connected to."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
