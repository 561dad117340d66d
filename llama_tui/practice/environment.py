"""The environment of a command on a practice machine, from an allow list: no secret of this process leaks."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

MARK = "LLAMA_TUI_PRACTICE_MACHINE"
"""In the environment of every process of a machine: its id. Termination finds them by it."""

_SHARED = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
)
"""What a command needs to reach the network the way this computer does."""

_OF_THE_PROCESS = ("HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


def _network(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name.startswith("PIP_") or name in _SHARED or (name.isupper() and name.lower() in _SHARED)
    }


def for_the_process(environment: Mapping[str, str]) -> dict[str, str]:
    """What the practice process itself is started with: no API keys, no tokens."""
    kept = {
        name: value
        for name, value in environment.items()
        if name in (*_OF_THE_PROCESS, "PATH", "LANG") or name.startswith(("LC_", "XDG_"))
    }
    return kept | _network(environment)


def for_a_command(machine: str, home: Path, scratch: Path, cache: Path, programs: Path) -> dict[str, str]:
    """What a command of a machine finds.

    Args:
        machine: its id.
        home: its user's home.
        scratch: its TMPDIR, which goes with it.
        programs: folder of those that it finds before this computer's own.
        cache: shared by all machines: like on a Lambda filesystem, wheels and weights are found by the next one.
    """
    return {
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "SHELL": "/bin/sh",
        "HOME": str(home),
        "USER": "ubuntu",
        "LOGNAME": "ubuntu",
        "TMPDIR": str(scratch),
        "XDG_CACHE_HOME": str(cache),
        "UV_CACHE_DIR": str(cache / "uv"),
        "HF_HOME": str(cache / "huggingface"),
        **_pip(cache),
        **_network(os.environ),
        MARK: machine,
    }


def _pip(cache: Path) -> dict[str, str]:
    """The person's own wheels and index, where they lie where pip looks for them."""
    if sys.platform == "darwin":
        caches, config = Path("~/Library/Caches"), Path("~/Library/Application Support")
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
        config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config")
    own = caches.expanduser() / "pip"
    found = {"PIP_CACHE_DIR": str(own if own.is_dir() else cache / "pip")}
    configs = (config.expanduser() / "pip/pip.conf", Path("~/.config/pip/pip.conf").expanduser())
    if configured := next((file for file in configs if file.is_file()), None):
        found["PIP_CONFIG_FILE"] = str(configured)
    return found
