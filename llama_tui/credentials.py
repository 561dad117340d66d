"""Keys and tokens: the environment first, then this session, the OS keyring, a file of one's choice, hf's login."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from pathlib import Path
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


Place = Literal["environment", "session", "keyring", "file", "hf's login"]
"""Where a key or token was found."""

_session: dict[Service, Secret] = {}


def find(service: Service) -> Secret | None:
    """The key or token; None when there is none."""
    found = look(service)
    return found[0] if found else None


def look(service: Service) -> tuple[Secret, Place] | None:
    """The key or token, and where it is."""
    if value := os.environ.get(VARIABLE[service], "").strip():
        return Secret(value), "environment"
    if secret := _session.get(service):
        return secret, "session"
    with contextlib.suppress(KeyringUnavailable):
        if secret := from_keyring(service):
            return secret, "keyring"
    if value := _read(own_file(service)):
        return Secret(value), "file"
    if service == "hf" and (value := _read(_hf_token_file())):
        return Secret(value), "hf's login"
    return None


def own_file(service: Service) -> Path:
    """The file of a person who has no keyring and said that a file will do."""
    import platformdirs

    return platformdirs.user_config_path("llama-tui") / "tokens" / service


def _hf_token_file() -> Path:
    """Where `hf auth login` keeps its token (huggingface_hub's constants: HF_TOKEN_PATH, HF_HOME)."""
    if path := os.environ.get("HF_TOKEN_PATH"):
        return Path(path)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("HF_HOME") or Path(cache) / "huggingface") / "token"


def of_skypilot() -> Secret | None:
    """The Lambda key that SkyPilot uses, to be offered (lambda-cloud-api.md §1.2); None when there is none."""
    found = re.search(r"^\s*api_key\s*=\s*(\S+)", _read(Path.home() / ".lambda_cloud" / "lambda_keys"), re.M)
    return Secret(found.group(1)) if found else None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def need(service: Service, what_for: str) -> Secret:
    """The key or token. Raises CredentialMissing with how to give it."""
    if found := find(service):
        return found
    name = {"lambda": "Lambda API key", "hf": "Hugging Face token"}[service]
    raise CredentialMissing(
        f"there is no {name}, and {what_for} needs one", f"llama-tui login {service}, or set {VARIABLE[service]}"
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


def for_this_session(service: Service, secret: Secret) -> None:
    """Use a key or token until this process ends."""
    _session[service] = secret


def to_file(service: Service, secret: Secret) -> Path:
    """Keep a key or token in a file that only its owner can read."""
    file = own_file(service)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = file.with_name(f"{file.name}.new")
        new.touch(mode=0o600)
        new.chmod(0o600)
        new.write_text(secret.reveal() + "\n")
        new.replace(file)
    except OSError as error:
        raise LlamaTuiError(f"{file} cannot be written: {error.strerror}", "use the environment instead") from error
    return file


def forget(service: Service) -> list[Place]:
    """Forget a key or token wherever we keep it; returns where it was. Raises KeyringUnavailable."""
    gone: list[Place] = []
    if _session.pop(service, None):
        gone.append("session")
    if own_file(service).exists():
        own_file(service).unlink()
        gone.append("file")
    try:
        kept = from_keyring(service)
    except KeyringUnavailable:
        return gone
    if kept:
        _in_thread(lambda ring: ring.delete_password(KEYRING_NAME, service))
        gone.append("keyring")
    return gone


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
