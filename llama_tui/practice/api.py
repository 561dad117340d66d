"""The vendor's HTTP API over a pretend account: paths, envelopes, refusals (lambda-cloud-api.md §1-§3)."""

from __future__ import annotations

import asyncio
import base64
import math
import secrets
import time
from collections.abc import Awaitable, Callable

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from llama_tui.practice import catalogue
from llama_tui.practice.account import Account
from llama_tui.practice.refused import Refused, invalid, missing
from llama_tui.practice.requests import (
    AddKeyRequest,
    CreateFilesystemRequest,
    FirewallRules,
    InstanceIds,
    LaunchRequest,
    RenameRequest,
    read,
)
from llama_tui.practice.switches import Scripted

Answer = Callable[[Request], Awaitable[Response]]


class LostAnswer(Response):
    """An answer that never arrives whole: the connection breaks in the middle of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Promise more bytes than are sent; the server then drops the connection."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"data":', "more_body": True})
        raise ConnectionResetError


async def scripted(answer: Scripted, request: Request, own: Answer) -> Response:
    """The answer that a switch has put in the place of the account's own."""
    await asyncio.sleep(answer.seconds)
    done = await own(request) if answer.done or not (answer.status or answer.drops) else None
    if answer.drops:
        return LostAnswer()
    if not answer.status:
        assert done
        return done
    if answer.code:
        error = {"code": answer.code, "message": "The vendor's words."}
        return JSONResponse({"error": error}, answer.status, answer.headers)
    return Response(answer.body, answer.status, answer.headers, "text/html")


def app(account: Account, key: str, heard: Callable[[], None]) -> ASGIApp:
    """The API as an ASGI application; `heard` is called for each request."""
    accepted = {
        f"Bearer {key}",
        "Basic " + base64.b64encode(f"{key}:".encode()).decode(),
        f"Basic {key}",
    }

    def data(value: object) -> JSONResponse:
        return JSONResponse({"data": value})

    def guarded(answer: Answer) -> Answer:
        async def guard(request: Request) -> Response:
            agent = request.headers.get("user-agent", "")
            if not agent or agent.startswith("Python-urllib/"):
                return PlainTextResponse("error code: 1010", 403)
            given = request.headers.get("authorization", "")
            try:
                if given not in accepted:
                    why = "Your API key is invalid, expired, or deleted." if given else "No API key was provided."
                    hint = "Check your API key or create a new one, then try again."
                    raise Refused(401, "global/invalid-api-key", why, hint)
                heard()
                faults = account.faults()
                faults.at_call(launch=request.url.path.endswith("/launch"))
                if found := faults.scripted(f"{request.method} {request.url.path.removeprefix('/api/v1/')}"):
                    return await scripted(found, request, answer)
                return await answer(request)
            except Refused as refused:
                headers = {"Retry-After": str(math.ceil(refused.retry_after))} if refused.retry_after else None
                return JSONResponse({"error": refused.error}, refused.status, headers)

        return guard

    async def list_instances(request: Request) -> Response:
        return data(account.instances())

    async def get_instance(request: Request) -> Response:
        return data(account.instance(request.path_params["id"]))

    async def rename(request: Request) -> Response:
        return data(account.rename(request.path_params["id"], read(await request.body(), RenameRequest).name))

    async def instance_types(request: Request) -> Response:
        listed = account.faults().switches.listed
        return data(
            {
                name: {
                    "instance_type": kind,
                    "regions_with_capacity_available": [
                        catalogue.region(code) for code in listed.get(name, catalogue.CAPACITY[name])
                    ],
                }
                for name, kind in catalogue.INSTANCE_TYPES.items()
            }
        )

    async def launch(request: Request) -> Response:
        id_ = account.launch(read(await request.body(), LaunchRequest))
        return data({"instance_ids": [id_]})

    async def terminate(request: Request) -> Response:
        return data({"terminated_instances": account.terminate(read(await request.body(), InstanceIds).instance_ids)})

    async def restart(request: Request) -> Response:
        return data({"restarted_instances": account.restart(read(await request.body(), InstanceIds).instance_ids)})

    async def list_keys(request: Request) -> Response:
        return data(account.ssh_keys)

    async def add_key(request: Request) -> Response:
        import asyncssh

        given = read(await request.body(), AddKeyRequest)
        name, public = given.name, given.public_key
        if any(one["name"] == name for one in account.ssh_keys):
            raise invalid(f"name: there is a key {name} already.")
        more = {}
        if public is None:
            private = await asyncio.to_thread(asyncssh.generate_private_key, "ssh-rsa", key_size=2048)
            public = private.export_public_key().decode().strip()
            more["private_key"] = private.export_private_key("pkcs1-pem").decode()
        try:
            asyncssh.import_public_key(public)
        except (asyncssh.KeyImportError, ValueError):
            raise invalid("public_key: not a public key.") from None
        added = {"id": secrets.token_hex(16), "name": name, "public_key": public}
        account.ssh_keys.append(added)
        account.save()
        return data({**added, **more})

    async def delete_key(request: Request) -> Response:
        kept = [one for one in account.ssh_keys if one["id"] != request.path_params["id"]]
        if len(kept) == len(account.ssh_keys):
            raise invalid("There is no such SSH key.")
        account.ssh_keys[:] = kept
        account.save()
        return data({})

    async def list_filesystems(request: Request) -> Response:
        return data(account.list_filesystems())

    async def create_filesystem(request: Request) -> Response:
        given = read(await request.body(), CreateFilesystemRequest)
        name, region = given.name, given.region
        if region not in catalogue.REGIONS:
            raise invalid("region: not a region.")
        if any(one["name"] == name for one in account.filesystems):
            raise Refused(400, "global/duplicate", "A filesystem of that name exists.")
        created = {
            "id": secrets.token_hex(16),
            "name": name,
            "mount_point": f"/lambda/nfs/{name}",
            "created": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
            "created_by": {"id": "0" * 32, "email": "practice@example.com", "status": "active"},
            "is_in_use": False,
            "region": catalogue.region(region),
            "bytes_used": 0,
        }
        account.filesystems.append(created)
        account.save()
        return data(created)

    async def delete_filesystem(request: Request) -> Response:
        id_ = request.path_params["id"]
        found = next((one for one in account.list_filesystems() if one["id"] == id_), None)
        if found is None:
            raise missing("filesystem")
        if found["is_in_use"]:
            raise Refused(400, "filesystems/filesystem-in-use", f"Filesystem {found['name']} is in use.")
        account.filesystems[:] = [one for one in account.filesystems if one["id"] != id_]
        account.save()
        return data({"deleted_ids": [id_]})

    async def list_images(request: Request) -> Response:
        return data(catalogue.images())

    async def list_regions(request: Request) -> Response:
        return data([catalogue.region(code) for code in catalogue.REGIONS])

    async def list_firewall_rules(request: Request) -> Response:
        return data(account.firewall_rules)

    async def replace_firewall_rules(request: Request) -> Response:
        account.firewall_rules[:] = msgspec.to_builtins(read(await request.body(), FirewallRules).data)
        account.save()
        return data(account.firewall_rules)

    async def nothing_here(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        return JSONResponse({"error": {"code": f"http/{status}", "message": "There is nothing here."}}, status)

    routes: list[tuple[str, str, Answer]] = [
        ("GET", "/instances", list_instances),
        ("GET", "/instances/{id}", get_instance),
        ("POST", "/instances/{id}", rename),
        ("GET", "/instance-types", instance_types),
        ("POST", "/instance-operations/launch", launch),
        ("POST", "/instance-operations/terminate", terminate),
        ("POST", "/instance-operations/restart", restart),
        ("GET", "/ssh-keys", list_keys),
        ("POST", "/ssh-keys", add_key),
        ("DELETE", "/ssh-keys/{id}", delete_key),
        ("GET", "/file-systems", list_filesystems),
        ("POST", "/filesystems", create_filesystem),
        ("DELETE", "/filesystems/{id}", delete_filesystem),
        ("GET", "/images", list_images),
        ("GET", "/regions", list_regions),
        ("GET", "/firewall-rules", list_firewall_rules),
        ("PUT", "/firewall-rules", replace_firewall_rules),
    ]
    return Starlette(
        routes=[Route(f"/api/v1{path}", guarded(answer), methods=[method]) for method, path, answer in routes],
        exception_handlers={404: nothing_here, 405: nothing_here},
    )
