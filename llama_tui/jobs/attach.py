"""Adopt an endpoint that is already there: what llama-tui set up on a host, or any OpenAI-compatible server."""

from __future__ import annotations

import secrets as random_tokens
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from llama_tui.core.errors import CredentialMissing, HostUnreachable, SetupFailed, UsageError
from llama_tui.core.instances import Instance
from llama_tui.core.interfaces import Address, Cloud
from llama_tui.core.plan import check_name
from llama_tui.endpoints import Endpoint, Endpoints, State
from llama_tui.jobs.reach import Server, client_of
from llama_tui.jobs.set_up import read_manifest
from llama_tui.redact import Secret, clean


async def attach_host(
    target: str, name: str, cloud: Cloud, endpoints: Endpoints, account: Callable[[str], Cloud]
) -> Endpoint:
    """The endpoint that llama-tui, on whatever computer, has set up on a host, rebuilt from its manifest.

    A manifest is the machine's word. That it is a machine of our account (`account` gives the cloud of a name), which
    `down` would end, is believed once the account lists it and it is the one that answers there.

    Raises:
        UsageError: there is none, or there are several and no `name` was given; or it is not what it says.
        HostUnreachable, HostKeyUnknown, CredentialRejected: as `Cloud.connect`.
    """
    async with cloud.connect(Instance(target, target, "active", "", "")) as host:
        listed = await host.run("cd .llama-tui 2>/dev/null && ls -d */manifest.json")
        names = [line.split("/")[0] for line in listed.stdout.decode("utf-8", "replace").splitlines()]
        if not names:
            raise UsageError(
                f"llama-tui has set nothing up on {target}", "set it up: llama-tui up --cloud ssh --host " + target
            )
        if (name and name not in names) or (not name and len(names) > 1):
            raise UsageError(f"{target} has {', '.join(clean(one) for one in names)}", "say which: --name NAME")
        folder = f".llama-tui/{name or names[0]}"
        found = read_manifest(await host.read(f"{folder}/manifest.json"))
        port = (await host.read(f"{folder}/port")).strip()
        finished = (await host.read(f"{folder}/run.rc")).strip()
    rents = found.plan is not None and found.plan.rents
    if rents:
        await _prove_rented(found, target, account(found.cloud))
    state: State = "ready" if finished == b"0" else "setup" if not finished else "failed"
    return endpoints.adopt(
        replace(
            found,
            state=state,
            port=int(port or 0),
            ready=datetime.now(UTC) if state == "ready" else None,
            local_port=0,
            cloud=found.cloud if rents else "ssh",
            host=found.host if rents else target,
            instance=found.instance if rents else Instance(target, target, "active", "", ""),
        )
    )


async def _prove_rented(found: Endpoint, target: str, cloud: Cloud) -> None:
    """Raises UsageError unless the account has this endpoint's machine, and its manifest is there."""
    listed = await cloud.instance(found.instance.id) if found.instance and cloud.rents else None
    if listed is not None and listed.name == found.instance_name:
        async with cloud.connect(listed) as host:
            there = await host.read(f"{found.directory}/manifest.json")
        if there and read_manifest(there).id == found.id:
            return
    raise UsageError(
        f"{target} says that it is a machine of your {clean(found.cloud)} account, and it is not",
        "nothing was recorded: is it the account of this key?",
    )


async def attach_url(url: str, name: str, key: Secret, endpoints: Endpoints) -> Endpoint:
    """An OpenAI-compatible server at a URL, recorded as an endpoint. Its first model is the one that is asked.

    Raises:
        HostUnreachable: nothing answers there.
        CredentialMissing: it wants a key, or another one.
        SetupFailed: what answers is not such a server.
    """
    import httpx2

    base_url = url.rstrip("/").removesuffix("/v1")
    try:
        scheme, host = urlsplit(base_url)[:2]
    except ValueError:
        scheme, host = "", ""
    if scheme not in ("http", "https") or not host:
        raise UsageError(f"{clean(url)} is not a URL", "write for example http://127.0.0.1:8000")
    if "@" in host:
        raise UsageError(
            "a password in a URL would stand in the record and on every screen", "give the key with --key-stdin"
        )
    async with client_of(Server(Address(base_url), key, "")) as client:
        try:
            response = await client.get("/v1/models", timeout=10)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise HostUnreachable(
                f"nothing answers at {base_url}", "is the server up, and the address right?"
            ) from error
    if response.status_code in (401, 403):
        wants = "another key" if key else "a key"
        raise CredentialMissing(f"{host} wants {wants}", "give it with --key-stdin, or in LLAMA_TUI_ENDPOINT_KEY")
    try:
        model = str(response.json()["data"][0]["id"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise SetupFailed(
            f"what answers at {base_url} is not an OpenAI-compatible server", "it must answer GET /v1/models"
        ) from error
    now = datetime.now(UTC)
    return endpoints.adopt(
        Endpoint(
            id=random_tokens.token_hex(4),
            name=check_name(name or "at-" + "".join(c if c.isalnum() else "-" for c in host.lower())[:28].strip("-")),
            cloud="url",
            host=host,
            state="ready",
            created=now,
            ready=now,
            base_url=base_url,
            model=clean(model),
        )
    )
