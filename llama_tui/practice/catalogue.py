"""What the pretend Lambda has to offer: the vendor's types, regions and images (lambda-cloud-api.md §2.6, §5)."""

from __future__ import annotations

import hashlib
from typing import Any

PRICES_AS_OF = "2026-07"
"""The month in which these prices were read; they change, and only the real API knows today's."""

REGIONS = {
    "us-west-1": "California, USA",
    "us-west-2": "Arizona, USA",
    "us-west-3": "Utah, USA",
    "us-south-1": "Texas, USA",
    "us-south-2": "North Texas, USA",
    "us-east-1": "Virginia, USA",
    "us-east-3": "Washington DC, USA",
    "us-midwest-1": "Illinois, USA",
    "europe-central-1": "Germany",
    "asia-northeast-2": "Tokyo, Japan",
}

_EVERYWHERE = ("us-west-1", "us-east-1", "us-south-1", "europe-central-1")

_TYPES: tuple[tuple[str, str, int, int, int, int, int, tuple[str, ...]], ...] = (
    # name, GPU ("" = none), GPUs, vCPUs, RAM GiB, disk GiB, cents per hour, regions with capacity
    ("cpu_4x_general", "", 0, 4, 16, 100, 20, _EVERYWHERE),
    ("gpu_1x_rtx6000", "Quadro RTX 6000 (24 GB)", 1, 14, 46, 512, 69, ("us-west-2",)),
    ("gpu_1x_a10", "A10 (24 GB PCIe)", 1, 30, 200, 1400, 129, _EVERYWHERE),
    ("gpu_1x_a6000", "RTX A6000 (48 GB)", 1, 14, 100, 200, 109, ("us-south-1",)),
    ("gpu_2x_a6000", "RTX A6000 (48 GB)", 2, 28, 200, 1024, 218, ()),
    ("gpu_4x_a6000", "RTX A6000 (48 GB)", 4, 56, 400, 1024, 436, ()),
    ("gpu_1x_a100", "A100 (40 GB PCIe)", 1, 30, 200, 512, 199, ("us-east-1",)),
    ("gpu_1x_a100_sxm4", "A100 (40 GB SXM4)", 1, 30, 200, 512, 199, ("us-west-2", "asia-northeast-2")),
    ("gpu_2x_a100", "A100 (40 GB PCIe)", 2, 60, 400, 1024, 398, ()),
    ("gpu_4x_a100", "A100 (40 GB PCIe)", 4, 120, 800, 1024, 796, ()),
    ("gpu_8x_a100", "A100 (40 GB SXM4)", 8, 124, 1800, 6144, 1592, ("us-west-2",)),
    ("gpu_8x_a100_80gb_sxm4", "A100 (80 GB SXM4)", 8, 240, 1800, 20480, 2232, ("us-midwest-1",)),
    ("gpu_1x_h100_pcie", "H100 (80 GB PCIe)", 1, 26, 200, 1024, 329, ("us-west-3",)),
    ("gpu_1x_h100_sxm5", "H100 (80 GB SXM5)", 1, 26, 225, 2816, 429, ("us-south-2", "us-east-1")),
    ("gpu_2x_h100_sxm5", "H100 (80 GB SXM5)", 2, 52, 450, 5632, 838, ("us-south-2",)),
    ("gpu_4x_h100_sxm5", "H100 (80 GB SXM5)", 4, 104, 900, 11264, 1636, ()),
    ("gpu_8x_h100_sxm5", "H100 (80 GB SXM5)", 8, 208, 1800, 22528, 3192, ("us-south-2",)),
    ("gpu_1x_gh200", "GH200 (96 GB)", 1, 64, 432, 4096, 229, ("us-east-3",)),
    ("gpu_1x_b200_sxm6", "B200 (180 GB SXM6)", 1, 26, 360, 2816, 699, ()),
    ("gpu_2x_b200_sxm6", "B200 (180 GB SXM6)", 2, 52, 720, 5632, 1378, ()),
    ("gpu_8x_b200_sxm6", "B200 (180 GB SXM6)", 8, 208, 2900, 22528, 5352, ()),
    ("gpu_8x_v100", "Tesla V100 (16 GB)", 8, 92, 448, 6041, 632, ("us-south-1",)),
)

_FAMILIES = {
    "lambda-stack-24-04": ("x86_64", "arm64"),
    "lambda-stack-22-04": ("x86_64", "arm64"),
    "lambda-stack-legacy-22-04": ("x86_64",),
    "gpu-base-24-04": ("x86_64",),
    "gpu-base-22-04": ("x86_64",),
    "ubuntu-24-04": ("x86_64",),
    "ubuntu-22-04": ("x86_64",),
}
_VERSIONS = ("24.4.1", "24.4.2")


def region(code: str) -> dict[str, str]:
    """A region as the API shows it."""
    return {"name": code, "description": REGIONS[code]}


def _instance_type(
    name: str, gpu: str, gpus: int, vcpus: int, memory_gib: int, storage_gib: int, cents: int
) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"{gpus}x {gpu}" if gpus else f"{vcpus}x CPU General",
        "gpu_description": gpu or "N/A",
        "price_cents_per_hour": cents,
        "specs": {"vcpus": vcpus, "memory_gib": memory_gib, "storage_gib": storage_gib, "gpus": gpus},
        "architecture": "arm64" if "gh200" in name else "x86_64",
    }


INSTANCE_TYPES: dict[str, dict[str, Any]] = {row[0]: _instance_type(*row[:7]) for row in _TYPES}
"""Name → the type as the API shows it."""
CAPACITY: dict[str, tuple[str, ...]] = {row[0]: row[7] for row in _TYPES}
"""Name → regions that have it."""


def images() -> list[dict[str, Any]]:
    """One entry per family, architecture, region and version."""
    return [
        {
            "id": _uuid(f"{family}{architecture}{code}{version}"),
            "created_time": "2026-01-15T10:00:00Z",
            "updated_time": "2026-01-15T10:00:00Z",
            "name": f"{family}-{version}",
            "description": f"{family} {version}",
            "family": family,
            "version": version,
            "architecture": architecture,
            "region": region(code),
        }
        for family, architectures in _FAMILIES.items()
        for architecture in architectures
        for code in REGIONS
        for version in _VERSIONS
    ]


def _uuid(seed: str) -> str:
    digest = hashlib.sha256(seed.encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
