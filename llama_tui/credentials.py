"""Keys and tokens: the environment first, then the OS keyring. Never a file of our own, never a log."""

from __future__ import annotations

import os
import threading
from typing import Literal

from llama_tui.core.errors import CredentialMissing, LlamaTuiError
from llama_tui.redact import Secret

Service = Literal["lambda", "hf"]

VARIABLE: dict[Service, str] = {"lambda": "LAMBDA_API_KEY", "hf": "HF_TOKEN"}
URL_VARIABLE = "LLAMA_TUI_ENDPOINT_KEY"
KEYRING_NAME = "llama-tui"
KEYRING_SECONDS = 20.0
"""A keyring may wait for a password prompt this long."""
TRUSTED_BACKENDS = (
    "keyring.backends.macOS", "keyring.backends.Windows", "keyring.backends.SecretService",
    "keyring.backends.libsecret", "keyring.backends.kwallet",
)  # fmt: skip
"""Backends that keep a secret secret. keyrings.alt, if it happens to be installed, writes plain files."""


class KeyringUnavailable(LlamaTuiError):
    """This computer has no keyring that can be trusted, or it is locked."""


def find(service: Service) -> Secret | None:
    """The key or token, from the environment, else from the keyring; None when there is none."""
    if value := os.environ.get(VARIABLE[service], "").strip():
        return Secret(value)
    try:
        return from_keyring(service)
    except KeyringUnavailable:
        return None


def need(service: Service, what_for: str) -> Secret:
    """The key or token. Raises CredentialMissing with how to give it."""
    if found := find(service):
        return found
    name = {"lambda": "Lambda API key", "hf": "Hugging Face token"}[service]
    raise CredentialMissing(
        f"there is no {name}, and {what_for} needs one", f"set {VARIABLE[service]} in the environment"
    )


def of_url(name: str) -> Secret:
    """The key of an attached URL, from the environment, else from the keyring; empty when there is none."""
    if value := os.environ.get(URL_VARIABLE, "").strip():
        return Secret(value)
    try:
        return (from_keyring(f"endpoint {name}") if name else None) or Secret("")
    except KeyringUnavailable:
        return Secret("")


def from_keyring(account: str) -> Secret | None:
    """What the keyring keeps under a name; None when it has nothing. Raises KeyringUnavailable."""
    value = _in_thread(lambda ring: ring.get_password(KEYRING_NAME, account))
    return Secret(value) if isinstance(value, str) and value else None


def to_keyring(account: str, secret: Secret) -> None:
    """Keep a secret, and look that it is really kept: the null backend swallows. Raises KeyringUnavailable."""

    def write(ring: object) -> object:
        ring.set_password(KEYRING_NAME, account, secret.reveal())  # type: ignore[attr-defined]
        return ring.get_password(KEYRING_NAME, account)  # type: ignore[attr-defined]

    if _in_thread(write) != secret.reveal():
        raise KeyringUnavailable(
            "the keyring did not keep it", f"use the environment instead: {', '.join(VARIABLE.values())}"
        )


def _in_thread(work: object) -> object:
    """Ask the keyring in a thread of its own: it may block on a prompt, and a prompt may never come."""
    result: list[object] = []
    failure: list[Exception] = []

    def body() -> None:
        try:
            result.append(work(_trusted_keyring()))  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001 — backends raise what they like (libraries.md §4)
            failure.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(KEYRING_SECONDS)
    if thread.is_alive():
        raise KeyringUnavailable("the keyring does not answer", "unlock it, or use the environment")
    if failure:
        if isinstance(failure[0], KeyringUnavailable):
            raise failure[0]
        raise KeyringUnavailable(f"the keyring cannot be used: {failure[0]}", "unlock it, or use the environment")
    return result[0]


def _trusted_keyring() -> object:
    import keyring
    from keyring.backends import chainer

    ring = keyring.get_keyring()
    members = ring.backends if isinstance(ring, chainer.ChainerBackend) else [ring]
    if not members or any(not type(member).__module__.startswith(TRUSTED_BACKENDS) for member in members):
        raise KeyringUnavailable("this computer has no keyring that can be trusted", "use the environment")
    return ring
