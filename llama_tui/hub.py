"""Hugging Face, asked before a cent is spent: is the token alive, may it have this repository, what is in there.

The only module that knows huggingface_hub (libraries.md §3). Everything there blocks: it runs in a thread.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from llama_tui.core.errors import CredentialRejected, LlamaTuiError, PreflightFailed
from llama_tui.redact import Secret

T = TypeVar("T")
HUB_SECONDS = 10.0
"""How long one answer may take."""
CONFIG_LIMIT = 1_000_000
"""Bytes of a config.json that are read at the most."""


class HubUnreachable(LlamaTuiError):
    """Hugging Face does not answer, so what was asked is not known."""


@dataclass(frozen=True, slots=True)
class Repo:
    """What a model repository holds."""

    repo_id: str
    gated: bool
    commit: str
    parameters: int
    """Of its safetensors; 0 where the Hub does not say."""
    weights_bytes: int
    """Of its safetensors, without `original/`; 0 where there are none."""
    config: dict[str, Any]
    """Its config.json; empty where there is none, or where the licence must be accepted first."""


async def whoami(token: Secret) -> str:
    """The user that a token belongs to. Raises CredentialRejected, HubUnreachable."""

    def ask() -> str:
        return str(_api(token).whoami()["name"])

    return await _asked(ask, "")


async def check_access(repo_id: str, token: Secret | None) -> None:
    """Whether this token may download this repository.

    Raises:
        PreflightFailed: the licence is not accepted, or there is no such repository for this token.
        CredentialRejected: the token is not valid.
        HubUnreachable: Hugging Face does not answer.
    """
    await _asked(lambda: _api(token).auth_check(repo_id), repo_id)


async def commit(repo_id: str, token: Secret | None, *, revision: str = "") -> str:
    """The commit that a revision (empty: the main branch) is at. Raises as `check_access`."""

    def ask() -> str:
        return str(_api(token).model_info(repo_id, revision=revision or None, timeout=HUB_SECONDS).sha or "")

    return await _asked(ask, repo_id, revision)


async def look_at(repo_id: str, token: Secret | None, *, revision: str = "") -> Repo:
    """What is in a repository, at a revision (empty: its main branch). Raises as `check_access`."""

    def ask() -> Repo:
        api = _api(token)
        info = api.model_info(repo_id, revision=revision or None, files_metadata=True, timeout=HUB_SECONDS)
        weights = [
            one.size or 0
            for one in info.siblings or ()
            if one.rfilename.endswith(".safetensors") and not one.rfilename.startswith("original/")
        ]
        total = info.safetensors.total if info.safetensors else 0
        return Repo(repo_id, bool(info.gated), info.sha or "", total, sum(weights), _config(repo_id, info.sha, token))

    return await _asked(ask, repo_id, revision)


def _config(repo_id: str, revision: str | None, token: Secret | None) -> dict[str, Any]:
    """config.json; empty where it may not or cannot be read: that is told by other checks."""
    import httpx2

    url = f"{_endpoint()}/{repo_id}/resolve/{revision or 'main'}/config.json"
    headers = {"authorization": f"Bearer {token.reveal()}"} if token else {}
    try:
        answer = httpx2.get(url, headers=headers, timeout=HUB_SECONDS, follow_redirects=True)
        read = json.loads(answer.raise_for_status().content[:CONFIG_LIMIT])
    except (httpx2.HTTPError, ValueError):  # gated, missing, broken: the other checks say which
        return {}
    return read if isinstance(read, dict) else {}


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


_loading = threading.Lock()


def _api(token: Secret | None) -> Any:
    with _loading:  # two threads at once would load it by halves
        return _library().HfApi(endpoint=_endpoint(), token=token.reveal() if token else False)


@functools.cache
def _library() -> Any:
    """huggingface_hub, told once: no stray token, no telemetry, no look for updates, no endless wait."""
    os.environ.setdefault("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_UPDATE_CHECK", "1")
    import huggingface_hub
    from huggingface_hub.utils import _http

    def client() -> Any:
        made = _http.default_client_factory()
        made.timeout = HUB_SECONDS
        return made

    huggingface_hub.set_client_factory(client)
    return huggingface_hub


async def _asked(ask: Callable[[], T], repo_id: str, revision: str = "") -> T:
    """Ask in a thread, and put what goes wrong into our words."""
    import httpx2

    def body() -> T:
        from huggingface_hub import errors

        page = f"{_endpoint()}/{repo_id}"
        try:
            return ask()
        except errors.GatedRepoError as error:
            raise PreflightFailed(
                f"the licence of {repo_id} is not granted to this token", f"accept it at {page}, then try again"
            ) from error
        except errors.RevisionNotFoundError as error:
            raise PreflightFailed(f"{repo_id} has no revision {revision}", f"see {page}/commits/main") from error
        except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
            raise PreflightFailed(
                f"there is no repository {repo_id}, or this token may not see it", "check the name, and the token"
            ) from error
        except errors.HfHubHTTPError as error:
            raise _of_http(error, repo_id) from error
        except (httpx2.HTTPError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise HubUnreachable(
                f"Hugging Face does not answer: {reason}", "check the network, then again"
            ) from error

    return await asyncio.to_thread(body)


def _of_http(error: Any, repo_id: str) -> LlamaTuiError:
    status = getattr(getattr(error, "response", None), "status_code", 0)
    said = str(getattr(error, "server_message", "") or "")
    if status == 401:
        where = f"{_endpoint()}/settings/tokens"
        return CredentialRejected("Hugging Face does not accept the token", f"make a read token at {where}")
    if status == 403:
        fix = "let the token read public gated repositories, in its settings"
        return PreflightFailed(f"the token may not read {repo_id}: {said}", fix)
    return HubUnreachable(f"Hugging Face answers {status}: {said}", "try again in a minute")
