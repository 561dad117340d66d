"""What Lambda refuses, and what gets lost on the way: each with its class, its code and what to do next."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from llama_tui.clouds.lambda_api import Retry, Timeouts
from llama_tui.clouds.lambda_cloud import LambdaCloud
from llama_tui.clouds.pace import Pace
from llama_tui.core.errors import CloudRefused, CredentialMissing, CredentialRejected, NoCapacity, UsageError
from llama_tui.core.instances import Launch
from llama_tui.redact import Secret
from tests.clouds.lambda_account import CANARY, INSTANCE, QUICK, Account, data, refusal

REQUEST = Launch("llama-tui-demo-1", "gpu_1x_a10", "us-east-1")
LAUNCH = "POST instance-operations/launch"
TERMINATE = "POST instance-operations/terminate"
MakeCloud = Callable[..., LambdaCloud]


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (403, "global/account-inactive", "payment method"),
        (403, "global/invalid-address", "billing address"),
        (400, "global/invalid-parameters", "message says what"),
        (400, "global/object-does-not-exist", "llama-tui types"),
        (404, "global/object-does-not-exist", "llama-tui types"),
        (400, "global/quota-exceeded", "low limits"),
        (400, "global/duplicate", "choose another"),
        (400, "instance-operations/launch/file-system-in-wrong-region", "filesystem's region"),
        (400, "instance-operations/launch/file-systems-not-supported", "without a filesystem"),
        (418, "something/new", "The vendor's advice."),
    ],
)
async def test_a_refused_launch_keeps_the_vendors_code_and_words(
    account: Account, cloud: LambdaCloud, status: int, code: str, hint: str
) -> None:
    """It did not happen, and was asked for once."""
    account.when(LAUNCH, refusal(status, code, "The vendor's\nwords.", suggestion="The vendor's advice."))
    with pytest.raises(CloudRefused) as refused:
        await cloud.launch(REQUEST)
    error = refused.value
    assert (type(error), error.code, error.status, error.exit_code) == (CloudRefused, code, status, 1)
    assert error.sentence == "Lambda Cloud refused to launch gpu_1x_a10 in us-east-1: The vendor's words."
    assert hint in error.hint
    assert account.count(LAUNCH) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "global/unknown"),
        (409, "global/internal-error"),
        (503, "provider/internal-unavailable"),
        (400, "provider/internal-unavailable"),
        (408, ""),
        (502, ""),
        (504, ""),
    ],
)
async def test_a_launch_that_failed_on_the_way_may_have_happened(
    account: Account, cloud: LambdaCloud, status: int, code: str
) -> None:
    """Faults, unlike refusals, come with the code that makes the caller look before it asks again."""
    account.when(LAUNCH, refusal(status, code) if code else httpx2.Response(status, text="<html>Bad gateway</html>"))
    with pytest.raises(CloudRefused) as refused:
        await cloud.launch(REQUEST)
    assert refused.value.code == "launch/answer-lost"
    assert "llama-tui-demo-1" in refused.value.hint
    assert account.count(LAUNCH) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.ReadTimeout("slow"),
        httpx2.ReadError("reset"),
        httpx2.RemoteProtocolError("Server disconnected"),
        data({"instance_ids": []}),
        data({"launched": 1}),
        httpx2.Response(200, text="<html>a hotel's login page</html>"),
    ],
)
async def test_a_launch_without_a_readable_answer_may_have_happened(
    account: Account, cloud: LambdaCloud, answer: httpx2.Response | Exception
) -> None:
    """Exactly one request, whatever came back."""
    account.when(LAUNCH, answer)
    with pytest.raises(CloudRefused) as refused:
        await cloud.launch(REQUEST)
    assert refused.value.code == "launch/answer-lost"
    assert account.count(LAUNCH) == 1


async def test_a_launch_that_never_left_did_not_happen(account: Account, cloud: LambdaCloud) -> None:
    """No connection, no machine."""
    account.when(LAUNCH, httpx2.ConnectError("no route"))
    with pytest.raises(CloudRefused, match=r"cloud\.lambda\.ai") as refused:
        await cloud.launch(REQUEST)
    assert refused.value.code == "http/unreachable"


async def test_no_capacity_has_its_own_class(account: Account, cloud: LambdaCloud) -> None:
    """The command ends with 4."""
    account.when(LAUNCH, refusal(400, "instance-operations/launch/insufficient-capacity"))
    with pytest.raises(NoCapacity) as none:
        await cloud.launch(REQUEST)
    assert (none.value.code, none.value.exit_code) == ("instance-operations/launch/insufficient-capacity", 4)


@pytest.mark.parametrize("body", [refusal(401, "global/invalid-api-key"), httpx2.Response(401, text="no")])
async def test_a_refused_key_is_a_refused_credential(
    account: Account, cloud: LambdaCloud, body: httpx2.Response
) -> None:
    """Asked once; the hint says where to get another."""
    account.when("GET instances", body)
    with pytest.raises(CredentialRejected) as rejected:
        await cloud.instances()
    assert rejected.value.exit_code == 3
    assert "login lambda" in rejected.value.hint
    assert account.count("GET instances") == 1


@pytest.mark.parametrize("key", ["secret_with_newline\n", "secret with spaces", "secret_ünïcode"])
async def test_a_key_that_cannot_be_one_is_not_sent(account: Account, make_cloud: MakeCloud, key: str) -> None:
    """Nor shown: HTTP libraries quote the header that they cannot send."""
    with pytest.raises(CredentialRejected) as rejected:
        await make_cloud(key=Secret(key)).instances()
    assert key not in "".join(traceback.format_exception(rejected.value))
    with pytest.raises(CredentialMissing):
        await make_cloud(key=Secret("")).instances()
    assert not account.seen


async def test_the_edge_is_not_the_account(account: Account, cloud: LambdaCloud) -> None:
    """A 403 without Lambda's envelope comes from what stands before Lambda."""
    account.when("GET instances", httpx2.Response(403, text="error code: 1010"))
    with pytest.raises(CloudRefused) as refused:
        await cloud.instances()
    assert refused.value.code == "http/403"
    assert "edge refused this client" in refused.value.hint


async def test_a_moved_api_is_not_followed(account: Account, cloud: LambdaCloud) -> None:
    """A redirected POST becomes a GET and may carry the key elsewhere."""
    for what in ("GET ssh-keys", LAUNCH):
        account.when("GET ssh-keys", lambda _: data(account.keys))
        account.when(LAUNCH, data({"instance_ids": ["x"]}))
        account.when(what, httpx2.Response(301, headers={"Location": "https://cloud.lambda.ai/api/v1/x?token=t"}))
        with pytest.raises(CloudRefused, match=r"moved to https://cloud\.lambda\.ai$") as refused:
            await cloud.launch(REQUEST)
        assert refused.value.code == "http/301"
        assert "LAMBDA_API_URL" in refused.value.hint
        assert account.count(what) == 1


@pytest.mark.parametrize(
    "throttled",
    [
        refusal(429, "global/rate-limited"),
        httpx2.Response(429, headers={"Retry-After": "0.01"}, json={"error": {"code": "rate-limited"}}),
        httpx2.Response(429, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, text="<html>slow down</html>"),
        httpx2.Response(429, headers={"Retry-After": "nan"}),
    ],
)
async def test_too_many_requests_are_waited_out(
    account: Account, cloud: LambdaCloud, throttled: httpx2.Response
) -> None:
    """Reads and terminate: whatever the body is, nothing was done."""
    account.when("GET instances", throttled, throttled, data([INSTANCE]))
    assert len(await cloud.instances()) == 1
    account.when(TERMINATE, throttled, throttled, data({"terminated_instances": []}))
    await cloud.terminate("x")
    assert account.count(TERMINATE) == 3
    account.when("GET instances", throttled)
    with pytest.raises(CloudRefused) as refused:
        await cloud.instances()
    assert refused.value.status == 429
    assert account.count("GET instances") == 3 + 5


def test_pauses_double_and_are_cut() -> None:
    """1, 2, 4, 8, 16 seconds, give or take a quarter; a server's own wish up to half a minute."""
    retry = Retry()
    for tried, seconds in enumerate((1, 2, 4, 8, 16, 16), start=1):
        assert 0.75 * seconds <= retry.pause(tried, None) <= 1.25 * seconds
    assert (retry.pause(1, 7.0), retry.pause(1, 3600.0)) == (7.0, 30.0)


@pytest.mark.parametrize(
    "fault",
    [
        refusal(503, "provider/internal-unavailable"),
        refusal(500, "global/unknown"),
        httpx2.Response(502, text="<html>"),
        httpx2.ConnectError("no route"),
        httpx2.ReadTimeout("slow"),
    ],
)
async def test_a_read_is_tried_again_and_a_terminate_is_not(
    account: Account, cloud: LambdaCloud, fault: httpx2.Response | Exception
) -> None:
    """Who terminates keeps asking by itself, and looks in between."""
    account.when("GET instances", fault, fault, fault, fault, data([]))
    assert await cloud.instances() == []
    account.when("GET instances", fault)
    with pytest.raises(CloudRefused):
        await cloud.instances()
    assert account.count("GET instances") == 10
    account.when(TERMINATE, fault)
    account.when("GET instances/x", data({**INSTANCE, "id": "x"}))
    with pytest.raises(CloudRefused):
        await cloud.terminate("x")
    assert account.count(TERMINATE) == 1


async def test_no_error_shows_a_token(account: Account, cloud: LambdaCloud) -> None:
    """An answer that cannot be read is not quoted."""
    account.when("GET instances", data([{**INSTANCE, "id": 7, "status": {"token": CANARY}}]))
    with pytest.raises(CloudRefused) as refused:
        await cloud.instances()
    assert refused.value.code == "http/200"
    shown = "".join(traceback.TracebackException.from_exception(refused.value, capture_locals=True).format())
    assert CANARY not in shown
    assert "secret_test_0123456789abcdef" not in shown


@pytest.mark.parametrize("url", ["cloud.lambda.ai", "ftp://x", "http://", "http://[x"])
def test_an_address_that_is_none_is_a_usage_error(make_cloud: MakeCloud, url: str) -> None:
    """The hint names the variable."""
    with pytest.raises(UsageError) as usage:
        make_cloud(base_url=url)
    assert "LAMBDA_API_URL" in usage.value.hint


# ---- over real sockets

Reply = Callable[[str], bytes | None]


@asynccontextmanager
async def server(reply: Reply) -> AsyncIterator[tuple[str, list[str]]]:
    """A loopback server; `reply` maps a request line to bytes, or to None: hang up without an answer."""
    lines: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            (line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length")), "0"
        )
        await reader.readexactly(int(length))
        lines.append(head.split("\r\n")[0].removesuffix(" HTTP/1.1"))
        if answer := reply(lines[-1]):
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", lines


def keys_only(line: str) -> bytes | None:
    if line == "GET /api/v1/ssh-keys":
        return b'{"data": []}'
    if line == "POST /api/v1/ssh-keys":
        return b'{"data": {"id": "1", "name": "ours", "public_key": "ssh-ed25519 AAAA"}}'
    return None


async def test_an_answer_lost_on_the_wire_is_one_launch(
    make_cloud: MakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server hangs up after it has read the request; a proxy of the environment is not asked for loopback."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with server(keys_only) as (url, lines):
        cloud = make_cloud(base_url=url + "/api/v1/")
        with pytest.raises(CloudRefused) as refused:
            await cloud.launch(REQUEST)
        await cloud.aclose()
    assert refused.value.code == "launch/answer-lost"
    assert lines == ["GET /api/v1/ssh-keys", "POST /api/v1/ssh-keys", "POST /api/v1/instance-operations/launch"]


async def test_an_answer_that_takes_too_long_is_lost(make_cloud: MakeCloud) -> None:
    """The limit is a value."""
    release = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await release.wait()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        cloud = make_cloud(base_url=url, timeouts=Timeouts(read=0.05), retry=Retry(tries=2, first=0.001))
        with pytest.raises(CloudRefused, match="did not answer") as refused:
            await cloud.instances()
        release.set()
        await cloud.aclose()
    assert refused.value.code == "http/unreachable"


async def test_nothing_listens_on_loopback_and_that_is_told_at_once(make_cloud: MakeCloud, tmp_path: Path) -> None:
    """A practice cloud that does not run will not come up by waiting."""
    async with server(keys_only) as (url, _):
        pass
    cloud = make_cloud(base_url=url, retry=Retry(first=60), pace=Pace(tmp_path, calls=0))
    async with asyncio.timeout(10):
        with pytest.raises(CloudRefused, match=r"127\.0\.0\.1") as refused:
            await cloud.instances()
    assert refused.value.code == "http/unreachable"
    await cloud.aclose()


async def test_an_address_that_does_not_resolve_is_named(make_cloud: MakeCloud) -> None:
    """The sentence says which."""
    cloud = make_cloud(base_url="https://cloud.lambda.invalid", retry=QUICK)
    with pytest.raises(CloudRefused, match=r"cloud\.lambda\.invalid") as refused:
        await cloud.instances()
    assert refused.value.code == "http/unreachable"
    await cloud.aclose()
