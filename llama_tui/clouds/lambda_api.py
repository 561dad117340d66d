"""HTTP to Lambda's API: key, pace, time limits, retries, and what each refusal means (lambda-cloud-api.md §1, §3)."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from llama_tui import __version__
from llama_tui.clouds.pace import Pace, account_of
from llama_tui.core.errors import (
    CloudRefused,
    CredentialMissing,
    CredentialRejected,
    LlamaTuiError,
    NoCapacity,
    TooLate,
    UsageError,
)
from llama_tui.redact import Secret

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

BASE_URL = "https://cloud.lambda.ai"
"""The production server; `cloud.lambdalabs.com` is deprecated (lambda-cloud-api.md §1.1)."""

USER_AGENT = f"llama-tui/{__version__} (+https://pypi.org/project/llama-endpoint-tui/)"
"""The edge refuses clients that do not say who they are (lambda-cloud-api.md §1.3)."""

KEEPALIVE_SECONDS = 3.0
"""An idle connection is not used again after this: a server that closes it meanwhile would lose us an answer."""

MESSAGE_LENGTH = 400
"""Characters of a server's message that are passed on."""

Repeat = Literal["read", "throttled"]
"""Which failures are tried again: all that may pass, or only 429 (then nothing was done)."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    connect: float = 10.0
    read: float = 30.0
    """Without a byte."""
    launch: float = 60.0
    """`read` for a launch, which takes seconds by itself (lambda-cloud-api.md §2.2)."""
    whole: float = 180.0
    """For one request, also while bytes trickle."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How a failed read is tried again. Seconds; each pause is twice the last, with jitter."""

    tries: int = 5
    first: float = 1.0
    longest: float = 16.0
    retry_after_longest: float = 30.0
    """What a server's `Retry-After` is cut to."""

    def pause(self, tried: int, retry_after: float | None) -> float:
        """Seconds to wait after that many tries."""
        if retry_after is not None:
            return min(retry_after, self.retry_after_longest)
        return min(self.first * 2.0 ** (tried - 1), self.longest) * random.uniform(0.75, 1.25)  # noqa: S311


_HINTS = {
    "global/account-inactive": "verify the e-mail address and the payment method of the account at cloud.lambda.ai",
    "global/invalid-address": "correct the billing address of the account at cloud.lambda.ai",
    "global/quota-exceeded": "terminate something, or ask Lambda's support for more: new accounts have low limits",
    "global/invalid-parameters": "something in the request is not allowed; the message says what",
    "global/object-does-not-exist": "list what there is: llama-tui types",
    "global/duplicate": "that name is taken: choose another",
    "global/internal-error": "a fault at Lambda: try again in a minute",
    "global/unknown": "a fault at Lambda: look at llama-tui ls before trying again",
    "instance-operations/launch/file-system-in-wrong-region": "choose the filesystem's region, or launch without it",
    "instance-operations/launch/file-systems-not-supported": "launch without a filesystem",
    "filesystems/filesystem-in-use": "it is free some minutes after its last instance is gone",
    "firewall-rulesets/firewall-ruleset-in-use": "terminate the instances that use it first",
    "ssh-keys/key-in-use": "terminate the instances that use it first",
    "http/403": "the edge refused this client, not the account: try without a VPN or proxy",
    "http/429": "more calls than the account may make: wait a quarter of a minute, and see what else uses its key",
}
_UPSTREAM = "a fault at Lambda's provider: try again in some minutes, or in another region"
_MOVED = "set LAMBDA_API_URL to the API's own address"
INSUFFICIENT_CAPACITY = "instance-operations/launch/insufficient-capacity"
DOES_NOT_EXIST = "global/object-does-not-exist"
ANSWER_LOST = "launch/answer-lost"
UNREACHABLE = "http/unreachable"


class _Refusal(msgspec.Struct):
    code: str
    message: str | None = None
    suggestion: str | None = None


class _Envelope(msgspec.Struct):
    """Either of the two envelopes. A payload stays raw bytes until its type takes out what it knows."""

    data: msgspec.Raw = msgspec.Raw()
    error: _Refusal | None = None


class NotSent(CloudRefused):
    """No connection came about: the request did not leave this computer."""


class AnswerLost(CloudRefused):
    """The request was sent and no answer came: it may have been carried out."""


class LambdaApi:
    """One account's API. Requests take their turn, and come back as a typed payload or an error of core/errors.py."""

    def __init__(
        self,
        *,
        key: Secret,
        base_url: str,
        pace: Pace,
        called: str = "Lambda Cloud",
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        user_agent: str = USER_AGENT,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/").removesuffix("/api/v1")
        self.called = called
        self.timeouts = timeouts or Timeouts()
        self._key = key
        self._account = account_of(key)
        self._pace = pace
        self._retry = retry or Retry()
        self._user_agent = user_agent
        self._transport = transport
        self._client: httpx2.AsyncClient | None = None
        self._building = asyncio.Lock()
        try:
            where = urlsplit(self.base_url)
            self._host = where.hostname or ""
        except ValueError:
            self._host = ""
        if not self._host or where.scheme not in ("http", "https"):
            raise UsageError(f"{base_url!r} is not the address of an API", "set LAMBDA_API_URL to https://HOST")
        self._plain = where.scheme == "http"
        self._loopback = self._host in ("localhost", "::1") or self._host.startswith("127.")

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client:
            await self._client.aclose()
            self._client = None

    def _build(self) -> httpx2.AsyncClient:
        import httpx2

        return httpx2.AsyncClient(
            base_url=f"{self.base_url}/api/v1/",
            headers={
                "Authorization": f"Bearer {self._key.reveal()}",
                "User-Agent": self._user_agent,
                "Accept": "application/json",
            },
            verify=not self._plain,  # there is nothing to verify, and building the context takes 100 ms
            trust_env=not self._loopback,  # a proxy of the environment does not know this computer's loopback
            follow_redirects=False,
            limits=httpx2.Limits(keepalive_expiry=KEEPALIVE_SECONDS),
            transport=self._transport,
        )

    async def _ready(self) -> httpx2.AsyncClient:
        key = self._key.reveal()
        if not key:
            raise CredentialMissing(f"there is no API key for {self.called}", "give one: llama-tui login lambda")
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise CredentialRejected(
                f"the API key for {self.called} holds characters that no key has",
                "copy it anew: llama-tui login lambda",
            )
        async with self._building:  # importing and building take a quarter of a second: not on the event loop
            if self._client is None:
                self._client = await asyncio.to_thread(self._build)
        return self._client

    async def get(self, path: str, into: type[T], *, what: str) -> T:
        """Read something; tried again while that may help."""
        return await self.request("GET", path, into, what=what, repeat="read")

    async def request(
        self,
        method: str,
        path: str,
        into: type[T],
        *,
        what: str,
        body: dict[str, Any] | None = None,
        repeat: Repeat = "throttled",
        launch: bool = False,
        not_after: float = 0.0,
    ) -> T:
        """Send a request when it is its turn and return its payload.

        Args:
            method: of HTTP.
            path: below `/api/v1/`.
            into: the type of the payload; unknown fields are dropped.
            what: the request in words, after "to": `list the instances`.
            body: sent as JSON.
            repeat: which failures are tried again.
            launch: it takes a launch's turn and time limit.
            not_after: seconds since the epoch; a turn that comes later is let go. 0: any turn.

        Raises:
            CredentialMissing: there is no key.
            CredentialRejected: the key was refused.
            TooLate: `not_after` has passed; nothing was sent.
            CloudRefused: refused, failed, or not reached (NotSent, AnswerLost).
        """
        client = await self._ready()
        tried = 0
        while True:
            tried += 1
            await self._pace.turn("launch" if launch else "call", self._account)
            if not_after and time.time() >= not_after:
                raise TooLate(f"the time to {what} is over", "wait longer: --wait 6h", code="launch/too-late")
            try:
                answer = await self._send(client, method, path, body, launch, what)
            except (NotSent, AnswerLost) as error:
                refused_here = self._loopback and isinstance(error, NotSent)
                if repeat != "read" or refused_here or tried >= self._retry.tries:
                    raise
                pause = self._retry.pause(tried, None)
            else:
                passes = answer.status_code == 429 or (answer.status_code >= 500 and repeat == "read")
                if answer.is_success or not passes or tried >= self._retry.tries:
                    return self._read(answer, into, what)
                pause = self._retry.pause(tried, _retry_after(answer))
            await asyncio.sleep(pause)

    async def _send(
        self,
        client: httpx2.AsyncClient,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        launch: bool,
        what: str,
    ) -> httpx2.Response:
        import httpx2

        read = self.timeouts.launch if launch else self.timeouts.read
        limits = httpx2.Timeout(read, connect=self.timeouts.connect)
        hint = "see whether this computer is online" if not self._loopback else "see whether that server runs"
        try:
            async with asyncio.timeout(self.timeouts.whole):
                return await client.request(method, path, json=body, timeout=limits)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError) as error:
            sentence = f"{self.called} cannot be reached at {self._host} to {what}: {_cause(error)}"
            raise NotSent(sentence, hint, code=UNREACHABLE) from None
        except (httpx2.HTTPError, TimeoutError) as error:
            sentence = f"{self._host} did not answer the request to {what}: {_cause(error)}"
            raise AnswerLost(sentence, hint, code=UNREACHABLE) from None

    def _read(self, answer: httpx2.Response, into: type[T], what: str) -> T:
        status = answer.status_code
        try:
            # The body is in no local variable: a crash report that shows those would show tokens of other services.
            envelope = msgspec.json.decode(answer.content, type=_Envelope)
            if answer.is_success and bytes(envelope.data):
                return msgspec.json.decode(envelope.data, type=into)
            refusal = None if answer.is_success else envelope.error
        except (msgspec.MsgspecError, UnicodeDecodeError):
            refusal = None
        raise self._refused(status, refusal, what, answer.headers.get("Location", ""))

    def _refused(self, status: int, refusal: _Refusal | None, what: str, location: str) -> LlamaTuiError:
        code = refusal.code if refusal and refusal.code else f"http/{status}"
        message = " ".join((refusal.message or code).split())[:MESSAGE_LENGTH] if refusal else f"HTTP {status}"
        sentence = f"{self.called} {'failed' if status >= 500 else 'refused'} to {what}: {message}"
        if status == 401:
            return CredentialRejected(
                f"{self.called} refused the API key: {message}",
                "make one at cloud.lambda.ai/api-keys and give it: llama-tui login lambda",
            )
        if 300 <= status < 400:
            moved = f" to {_origin(location)}" if _origin(location) else ""
            return CloudRefused(f"{self._host} says that the API has moved{moved}", _MOVED, code=code, status=status)
        if 200 <= status < 300:
            sentence = f"{self._host} answered the request to {what} with something that is not Lambda's API"
            return CloudRefused(sentence, _MOVED, code=code, status=status)
        if code == INSUFFICIENT_CAPACITY:
            return NoCapacity(sentence, "choose another region or type, or wait", code=code, status=status)
        hint = _HINTS.get(code) or _HINTS.get(f"http/{status}", "")
        if refusal and status == 403:
            hint = _HINTS.get(code, "")
        if not hint and (code.startswith("provider/") or status >= 500):
            hint = _UPSTREAM
        if not hint and refusal and refusal.suggestion:
            hint = " ".join(refusal.suggestion.split())[:MESSAGE_LENGTH]
        if not hint and not refusal:
            hint = _MOVED
        return CloudRefused(sentence, hint, code=code, status=status)


def _cause(error: Exception) -> str:
    return " ".join(str(error).split())[:MESSAGE_LENGTH] or type(error).__name__


def _origin(location: str) -> str:
    try:
        where = urlsplit(location)
    except ValueError:
        return ""
    return f"{where.scheme}://{where.netloc}" if where.scheme and where.netloc else ""


def _retry_after(answer: httpx2.Response) -> float | None:
    """Seconds that the server asks for; it may also write a date, which is not worth reading."""
    try:
        seconds = float(answer.headers["Retry-After"])
    except (KeyError, ValueError):
        return None
    return seconds if 0 <= seconds < float("inf") else None
