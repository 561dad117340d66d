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
    ("A10", 24): 22.0, ("RTX 6000", 24): 23.6, ("A100", 40): 39.4, ("A6000", 48): 47.5,
    ("A100", 80): 79.2, ("H100", 80): 79.2, ("GH200", 96): 94.5, ("H200", 141): 139.8, ("B200", 180): 178.3,
}  # fmt: skip
"""GiB that the driver reports for a card that is sold as so many GB (vllm.md §5.2; H100 and H200: recordings)."""


_COMPUTE_CAPABILITY = {"V100": 7.0, "T4": 7.5, "Quadro RTX": 7.5, "RTX 6000 (24": 7.5, "B200": 10.0, "B300": 10.3}
"""NVIDIA's number of a card's generation, of those that vLLM treats otherwise; all others here are 8.0 to 9.0."""


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


def compute_capability(gpu_description: str) -> float:
    """The card's generation as NVIDIA counts it (vllm.md §6.1)."""
    return next((number for name, number in _COMPUTE_CAPABILITY.items() if name in gpu_description), 8.0)


def with_regions(instance_type: InstanceType, regions: tuple[str, ...]) -> InstanceType:
    """The same type, available in other regions."""
    return replace(instance_type, regions=regions)
