"""What can be rented, and what is rented: the vocabulary of Lambda's API (lambda-cloud-api.md §2.1, §2.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

GONE = frozenset({"terminated", "preempted"})
"""Statuses after which nothing is billed any more (lambda-cloud-api.md §4.1)."""

DOOMED = GONE | {"terminating", "unhealthy"}
"""Statuses that a booting machine never leaves towards `active`."""

_DESCRIBED = re.compile(r"^(\d+)x (?:Tesla )?(.+?) \((\d+) GB")

_USABLE_GIB = {
    ("A10", 24): 22.0, ("RTX 6000", 24): 23.6, ("A100", 40): 39.4, ("A6000", 48): 44.4,
    ("A100", 80): 79.2, ("H100", 80): 79.2, ("GH200", 96): 94.5, ("H200", 141): 139.8, ("B200", 180): 178.3,
}  # fmt: skip
"""GiB that the driver reports for a card that is sold as so many GB (vllm.md §5.2; H100 and H200: recordings)."""


_COMPUTE_CAPABILITY = {
    "P100": 6.0, "V100": 7.0, "T4": 7.5, "Quadro RTX": 7.5, "RTX 6000 (24": 7.5, "A100": 8.0, "A10": 8.6, "A10G": 8.6,
    "A6000": 8.6, "L4": 8.9, "L40S": 8.9, "H100": 9.0, "H200": 9.0, "GH200": 9.0, "B200": 10.0, "B300": 10.3,
}  # fmt: skip
"""NVIDIA's number of a card's generation, for those that can be rented or are often owned."""


@dataclass(frozen=True, slots=True)
class InstanceType:
    """A kind of machine, with its price and where it can be had now."""

    name: str
    description: str
    gpus: int
    """0 for a machine without one."""
    gpu_memory_gib: float
    """Per GPU, as the driver reports it; 0 without a GPU."""
    vcpus: int
    memory_gib: int
    storage_gib: int
    price_cents_per_hour: int
    """For the whole machine; 0 where nothing is rented."""
    architecture: str = "x86_64"
    regions: tuple[str, ...] = ()
    """Region codes that advertise capacity now. Empty: none anywhere, not "unknown type"."""
    compute_capability: float = 0.0
    """Of its GPUs, as the machine itself says; 0: it was not asked."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One machine of an account."""

    id: str
    name: str
    status: str
    """`booting`, `active`, `unhealthy`, `terminating`, `terminated`, `preempted`, or a word we do not know yet."""
    instance_type: str
    region: str
    price_cents_per_hour: int = 0
    ip: str = ""
    """Empty until the cloud tells it; it comes while the machine still boots."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a launch asks for. `name` is unique: it is how a lost answer is found again."""

    name: str
    instance_type: str
    region: str
    image_family: str = ""
    filesystem: str = ""
    not_after: float = 0.0
    """Seconds since the epoch: nothing is asked for after that. 0: whenever it is its turn."""


def gpu_memory_gib(gpu_description: str) -> float:
    """GiB per GPU that can be used, from a description such as `1x H100 (80 GB SXM5)` or `H100 (80 GB SXM5)`."""
    text = gpu_description if re.match(r"^\d+x ", gpu_description) else f"1x {gpu_description}"
    found = _DESCRIBED.match(text)
    if not found:
        return 0.0
    card, gigabytes = found.group(2), int(found.group(3))
    for (name, size), usable in _USABLE_GIB.items():
        if size == gigabytes and name in card:
            return usable
    return gigabytes * 0.96


def compute_capability(kind: InstanceType) -> float:
    """The generation of its cards as NVIDIA counts it (vllm.md §6.1); 0: not known."""
    by_name = (
        number
        for name, number in _COMPUTE_CAPABILITY.items()
        if re.search(rf"\b{re.escape(name)}\b", kind.description)
    )
    return kind.compute_capability or next(by_name, 0.0)


def with_regions(instance_type: InstanceType, regions: tuple[str, ...]) -> InstanceType:
    """The same type, available in other regions."""
    return replace(instance_type, regions=regions)
