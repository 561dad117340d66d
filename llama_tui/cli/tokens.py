"""login and logout: keys and tokens, checked before they are kept."""

from __future__ import annotations

import sys
from typing import Literal

import click

from llama_tui import credentials
from llama_tui.cli import output
from llama_tui.core.errors import UsageError
from llama_tui.credentials import KeyringUnavailable, Service
from llama_tui.redact import Secret
from llama_tui.services import Services

Keep = Literal["", "keyring", "file"]
NAMES: dict[Service, str] = {"lambda": "Lambda API key", "hf": "Hugging Face token"}
PAGES: dict[Service, str] = {
    "lambda": "https://cloud.lambda.ai/api-keys",
    "hf": "https://huggingface.co/settings/tokens",
}


async def login(services: Services, service: Service, from_stdin: bool, keep: Keep) -> None:
    """Read a key or token, check it, keep it."""
    secret = _given(service, from_stdin)
    output.tell(await services.try_credential(service, secret))
    where = _keep(service, secret, keep)
    output.tell(f"kept in {where}; forget it: llama-tui logout {service}")
    found = credentials.look(service)
    if found and found[1] == "environment":
        output.tell(f"{credentials.VARIABLE[service]} is set in the environment, and is used first")


def _given(service: Service, from_stdin: bool) -> Secret:
    if from_stdin:
        value = sys.stdin.readline().strip()
    elif not sys.stdin.isatty():
        raise UsageError(f"there is nobody to type the {NAMES[service]}", "pipe it in: --stdin")
    else:
        known = credentials.of_skypilot() if service == "lambda" else None
        if known and click.confirm("SkyPilot has a key in ~/.lambda_cloud/lambda_keys. Use that one?", err=True):
            return known
        output.tell(f"make one at {PAGES[service]}")
        value = str(click.prompt(NAMES[service], hide_input=True, err=True)).strip()
    if not value:
        raise UsageError(f"the {NAMES[service]} is empty", f"make one at {PAGES[service]}")
    return Secret(value)


def _keep(service: Service, secret: Secret, keep: Keep) -> str:
    if keep != "file":
        try:
            credentials.to_keyring(service, secret)
        except KeyringUnavailable as error:
            if keep == "keyring" or not sys.stdin.isatty():
                hint = f"keep it in a file: --keep file; or for a session: export {credentials.VARIABLE[service]}=…"
                raise KeyringUnavailable(error.sentence, hint) from error
            output.tell(f"{error.sentence}.")
            file = credentials.own_file(service)
            if not click.confirm(f"Keep it in {file}, which only you can read?", err=True):
                raise UsageError(
                    "it was not kept", f"for this session: export {credentials.VARIABLE[service]}=…"
                ) from error
        else:
            return "the keyring"
    return f"{credentials.to_file(service, secret)}, which only you can read"


async def logout(service: Service) -> None:
    """Forget it wherever we keep it, and say where it still is."""
    gone = credentials.forget(service)
    output.tell(f"forgotten: {', '.join(gone)}" if gone else f"there was no {NAMES[service]} kept by llama-tui")
    found = credentials.look(service)
    if found and found[1] == "environment":
        output.tell(f"it is still set in the environment: unset {credentials.VARIABLE[service]}")
    if found and found[1] == "hf's login":
        output.tell("hf's own login is still there: hf auth logout")
