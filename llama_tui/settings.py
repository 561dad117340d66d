"""What a person sets once: config.toml in the XDG config folder. Everything has a default; no file is fine.

cloud = "practice"          # where `up` and `types` look when --cloud is not given
model = "smollm2-135m"

[lambda]
api_url = "https://cloud.lambda.ai"
image_family = "lambda-stack-24-04"  # default: what the engine builds on
ssh_key = "~/.ssh/id_ed25519"      # default: a key of llama-tui's own

[keys]
terminate = "f8"                   # binding id = keys; `?` in the app shows the ids
"""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from llama_tui.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class LambdaSettings:
    """Section `[lambda]`."""

    api_url: str = "https://cloud.lambda.ai"
    """The environment's LAMBDA_API_URL wins."""
    image_family: str = ""
    """Of machines that are rented; empty: what the engine builds on."""
    ssh_key: str = ""
    """Private key to log in with; empty: one of llama-tui's own."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole file."""

    cloud: str = "practice"
    model: str = "smollm2-135m"
    lambda_: LambdaSettings = field(default_factory=LambdaSettings)
    keys: dict[str, str] = field(default_factory=dict)


def read_settings(file: Path) -> Settings:
    """The settings of a file; the defaults where there is none.

    Raises:
        UsageError: naming the file, the key, and the nearest valid one.
    """
    try:
        raw = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raw = {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}", "mend it, or remove it to have the defaults") from error
    top = _checked(raw, {"cloud": str, "model": str, "lambda": dict, "keys": dict}, "", file)
    cloud = _checked(top.pop("lambda", {}), {one.name: str for one in fields(LambdaSettings)}, "lambda.", file)
    if url := os.environ.get("LAMBDA_API_URL"):
        cloud["api_url"] = url
    keys = _checked(top.pop("keys", {}), None, "keys.", file)
    return Settings(**top, lambda_=LambdaSettings(**cloud), keys=keys)


def _checked(table: dict[str, Any], known: dict[str, type] | None, prefix: str, file: Path) -> dict[str, Any]:
    for key, value in table.items():
        if known is not None and key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise UsageError(f"{file}: there is no setting {prefix}{key}", f"the nearest is {prefix}{near[0]}")
        wanted = str if known is None else known[key]
        if not isinstance(value, wanted):
            kind = "a section" if wanted is dict else "a text in quotes"
            raise UsageError(f"{file}: {prefix}{key} must be {kind}", f'write for example {prefix}{key} = "…"')
    return dict(table)
