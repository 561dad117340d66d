"""Ask a model server: one completion or one chat turn, streamed (OpenAI's wire format, vllm.md §4).

Only fields that the oldest server here (vLLM 0.4.3) knows are sent, but for `stream_options`, which it refuses:
a 400 that names it is answered by asking once more without.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from llama_tui.core.errors import CredentialRejected, PromptRefused
from llama_tui.core.events import Emit, TextDelta
from llama_tui.jobs.reach import Server, client_of
from llama_tui.redact import clean


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """What is asked."""

    text: str
    chat: bool = False
    system: str = ""
    """System message of a chat."""
    earlier: tuple[tuple[str, str], ...] = ()
    """Earlier turns of a chat as (role, content)."""
    max_tokens: int = 256
    temperature: float = 0.7

    def body(self, model: str) -> dict[str, Any]:
        """The JSON that is sent."""
        body: dict[str, Any] = {"model": model, "max_tokens": self.max_tokens, "temperature": self.temperature}
        if not self.chat:
            return {**body, "prompt": self.text}
        turns = [("system", self.system)] if self.system else []
        turns += [*self.earlier, ("user", self.text)]
        return {**body, "messages": [{"role": role, "content": content} for role, content in turns]}

    @property
    def path(self) -> str:
        """Where it is asked."""
        return "/v1/chat/completions" if self.chat else "/v1/completions"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came, and how fast."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    ttft_seconds: float
    """From sending to the first piece of text."""
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Completion tokens after the first one, over the time after the first one; 0 where there is but one."""
        after = self.seconds - self.ttft_seconds
        return (self.completion_tokens - 1) / after if self.completion_tokens > 1 and after > 0 else 0.0

    @property
    def figures(self) -> list[str]:
        """How much came and how fast, in words; of a single token there is no rate."""
        count, rate = self.completion_tokens, self.tokens_per_second
        figures = [f"{count:,} token{'' if count == 1 else 's'}", f"first after {self.ttft_seconds * 1000:,.0f} ms"]
        return [*figures, f"{rate:.1f} tokens/s"] if rate else figures


async def ask_raw(server: Server, request: PromptRequest) -> dict[str, Any]:
    """The server's own JSON, not streamed.

    Raises:
        PromptRefused: an error answer, or none.
        CredentialRejected: the server wants another key.
    """
    import httpx2

    async with client_of(server) as client:
        try:
            response = await client.post(request.path, json=request.body(server.model))
        except httpx2.HTTPError as error:
            raise _broken(error) from error
        if response.status_code != 200:
            raise _refusal(response.status_code, response.text)
        try:
            answer: dict[str, Any] = response.json()
        except ValueError as error:
            raise PromptRefused("the server's answer is not JSON", "is this an OpenAI-compatible server?") from error
        return answer


async def prompt(server: Server, request: PromptRequest, emit: Emit) -> Answer:
    """Stream one answer: each piece of text as a TextDelta. Cancelling it makes the server stop.

    Raises:
        PromptRefused: an error answer, or the line broke; what had come was emitted.
        CredentialRejected: the server wants another key.
    """
    body = {**request.body(server.model), "stream": True}
    try:
        return await _stream(server, request.path, {**body, "stream_options": {"include_usage": True}}, emit)
    except PromptRefused as error:
        if error.status != 400 or "stream_options" not in error.sentence:
            raise
        return await _stream(server, request.path, body, emit)


async def _stream(server: Server, path: str, body: dict[str, Any], emit: Emit) -> Answer:
    import httpx2

    pieces: list[str] = []
    finish_reason = ""
    usage: dict[str, Any] = {}
    started = time.monotonic()
    first = 0.0
    async with client_of(server) as client:
        try:
            async with client.sse(path, method="POST", json=body) as events:
                if events.response.status_code != 200:
                    raise _refusal(
                        events.response.status_code, (await events.response.aread()).decode("utf-8", "replace")
                    )
                async for event in events:
                    if event.data == "[DONE]":
                        break
                    chunk = _json(event.data)
                    if "error" in chunk:
                        raise _refusal(200, event.data)
                    usage = chunk.get("usage") or usage
                    for choice in chunk.get("choices") or ():
                        text = choice.get("text") or (choice.get("delta") or {}).get("content") or ""
                        finish_reason = choice.get("finish_reason") or finish_reason
                        if text:
                            first = first or time.monotonic()
                            pieces.append(text)
                            emit(TextDelta(clean(text)))
        except httpx2.HTTPError as error:
            raise _broken(error) from error
    ended = time.monotonic()
    return Answer(
        text="".join(pieces),
        finish_reason=finish_reason,
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or len(pieces)),
        ttft_seconds=(first or ended) - started,
        seconds=ended - started,
    )


def _json(data: str) -> dict[str, Any]:
    try:
        chunk = json.loads(data)
    except ValueError as error:
        raise PromptRefused(
            "the server sent something that is not JSON", "is this an OpenAI-compatible server?"
        ) from error
    return chunk if isinstance(chunk, dict) else {}


def _broken(error: Exception) -> PromptRefused:
    reason = clean(str(error)) or type(error).__name__
    return PromptRefused(f"the answer broke off: {reason}", "is the server still up? see its log")


def _refusal(status: int, text: str) -> PromptRefused | CredentialRejected:
    """The error of an answer, in both shapes that servers use (vllm.md §4.4)."""
    try:
        body = json.loads(text)
        error = body.get("error", body) if isinstance(body, dict) else body
        message = error.get("message", "") if isinstance(error, dict) else str(error)
    except ValueError:
        message = text[:200]
    message = clean(message).strip() or f"HTTP {status}"
    if status == 401:
        return CredentialRejected(f"the server refused the key: {message}", "give the key of this endpoint")
    hints = {404: "see the models it has: its /v1/models", 503: "it may still be loading: try again in a moment"}
    return PromptRefused(f"the server refused: {message}", hints.get(status, ""), status=status)
