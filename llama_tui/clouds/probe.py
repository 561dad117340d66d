"""What a machine is made of, asked of the machine itself: one line of shell, one InstanceType."""

from __future__ import annotations

import re

from llama_tui.core.errors import PreflightFailed
from llama_tui.core.instances import InstanceType
from llama_tui.core.interfaces import Host
from llama_tui.core.sizing import usable_gib
from llama_tui.redact import clean

_ASK = r"""
uname -s; uname -m
getconf _NPROCESSORS_ONLN 2>/dev/null || sysctl -n hw.ncpu
if [ -r /proc/meminfo ]; then awk '/^MemTotal:/ { print int($2 / 1048576) }' /proc/meminfo
else sysctl -n hw.memsize | awk '{ print int($1 / 1073741824) }'; fi
df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }'
nvidia-smi --query-gpu=name,memory.total --format=csv,noheader,nounits 2>/dev/null || true
echo compute_cap
nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null || true
"""
PROBE_SECONDS = 20.0
"""nvidia-smi may take seconds on a machine whose driver sleeps."""


async def probe(host: Host, name: str, *, systems: tuple[str, ...]) -> InstanceType:
    """The machine behind a host as an instance type that costs nothing.

    Raises:
        PreflightFailed: it is none of the `systems`.
        HostUnreachable: it does not answer.
    """
    done = await host.run(_ASK, timeout=PROBE_SECONDS)
    lines = clean(done.stdout.decode("utf-8", "replace")).splitlines()
    if not lines or lines[0] not in systems:
        runs = lines[0] if lines else "something that is no Unix"
        raise PreflightFailed(f"{name} runs {runs}, not Linux", "choose a machine with Linux")
    system, machine, *numbers = [*lines[:5], *["0"] * 5][:5]
    cpus, memory, disk = (int(number) if number.isdigit() else 0 for number in numbers)
    at = lines.index("compute_cap") if "compute_cap" in lines else len(lines)
    gpus = [line.rpartition(", ") for line in lines[5:at] if line.rpartition(", ")[2].strip().isdigit()]
    # An nvidia-smi of before 2021 does not know that field, and says so in a sentence.
    capabilities = [float(line) for line in lines[at + 1 :] if re.fullmatch(r"\d+\.\d+", line.strip())]
    mib = min((int(size) for _, _, size in gpus), default=0)
    made_of = f"{len(gpus)}x {gpus[0][0]} ({mib // 1024} GiB)" if gpus else f"{cpus} CPUs"
    return InstanceType(
        name=name,
        description=f"{made_of}, {memory} GiB, {system} {machine}",
        gpus=len(gpus),
        gpu_memory_gib=usable_gib(mib),
        vcpus=cpus,
        memory_gib=memory,
        storage_gib=disk,
        price_cents_per_hour=0,
        architecture="arm64" if machine in ("aarch64", "arm64") else machine,
        compute_capability=min(capabilities, default=0.0),
    )
