"""A server's log, line by line, to what it means: phase, progress, cause of a failure (vllm.md §2, §3)."""

from __future__ import annotations

import re

from llama_tui.core.events import Progress
from llama_tui.core.interfaces import Cause

_PHASES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), phase)
    for pattern, phase in (
        (r"vLLM API server version|non-default args:|build_info: ", "starting"),
        (r"Initializing an? .*LLM engine", "starting the engine"),
        (r"load_model: loading model|Starting to load model|Loading model from scratch", "loading weights"),
        (r"Available KV cache memory: (.*)", "sizing the KV cache"),
        (r"torch\.compile|Dynamo bytecode transform", "compiling"),
        (r"KV cache size: ([\d,]+ tokens)", "KV cache"),
        (r"Capturing (?:the model for )?CUDA graphs", "capturing CUDA graphs"),
        (r"init engine .* took ([\d.]+ s)", "engine ready"),
        (r"Application startup complete|listening on http", "ready"),
    )
)

_SHARDS = re.compile(r"^(?:Multi-thread l|L)oading [\w./ ()-]*?:\s+(\d+)% Completed \| (\d+)/(\d+)")

_CAUSES: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern), sentence, hint)
    for pattern, sentence, hint in (
        (r"Address already in use|couldn't bind|address already in use", "its port is in use", "choose another --port"),
        (r"No space left on device", "the disk of the machine is full", "free some, or take another machine"),
        (r"failed to load model|error loading model|not a valid GGUF|invalid magic",
         "the weights cannot be loaded",
         "they may be damaged: remove the file from the cache on the machine and try again"),
        (r"out of memory|OutOfMemoryError|failed to allocate", "the memory is too small for the model",
         "take a larger machine, a smaller model, or a shorter --max-model-len"),
        (r"GatedRepoError|Cannot access gated repo", "the licence of the model is not granted to this token",
         "accept it on the model's page on Hugging Face, then try again"),
    )
)  # fmt: skip

_EXCEPTION = re.compile(
    r"^(?:\([^)]*\)\s+)?(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\s[^\]]*\]\s*)?"
    r"(?P<exc>[A-Za-z_][\w.]*(?:Error|Exception))(?:: (?P<text>.*))?$"
)
_ECHO = "Engine core initialization failed"
"""What the API server says when the engine died: an echo, not the cause."""


class ServerLog:
    """Reads a server log from its first line on."""

    def __init__(self) -> None:
        self._known: Cause | None = None
        self._exception = ""

    def read(self, line: str) -> Progress | None:
        """The phase that a line tells of, if it does."""
        if self._known is None:
            for pattern, sentence, hint in _CAUSES:
                if pattern.search(line):
                    self._known = Cause(sentence, hint)
                    break
        if not self._exception and (found := _EXCEPTION.match(line)) and _ECHO not in line:
            self._exception = f"{found['exc'].rpartition('.')[2]}: {found['text']}" if found["text"] else found["exc"]
        if shards := _SHARDS.match(line):
            percent, done, total = (int(group) for group in shards.groups())
            return Progress("loading weights", f"{done} of {total} shards", percent / 100)
        for pattern, phase in _PHASES:
            if found := pattern.search(line):
                return Progress(phase, found.group(1) if found.groups() else "")
        return None

    def cause(self) -> Cause | None:
        """Why the server died: a cause that we know, else its first exception; None when the log does not tell."""
        return self._known or (Cause(self._exception) if self._exception else None)
