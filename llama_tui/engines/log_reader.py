"""A model server's log, line by line, to what it means: phase, progress, capacity, load, cause of a failure.

Understands vLLM 0.4.3, 0.23 and later (vllm.md §2, §10) and llama.cpp. Readiness is never read from a log: it is
`GET /health` (vllm.md §0).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llama_tui.core.events import Progress
from llama_tui.core.interfaces import Cause
from llama_tui.engines.causes import UNKNOWN, cause_in

_PHASES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), phase)
    for pattern, phase in (
        (r"vLLM API server version (\S+)", "starting vLLM"),
        (r"non-default args:", "starting vLLM"),
        (r"Resolved architecture: (\w+)", "reading the model's config"),
        (r"Initializing an? .*LLM engine \(v([^)]+)\)", "starting the engine"),
        (r"Started a local Ray instance", "starting Ray"),
        (r"vLLM is using nccl|world_size=\d+ rank=", "connecting the GPUs"),
        (r"Starting to load model|Loading model from scratch|Using model weights format", "loading weights"),
        (r"Time spent downloading weights for \S+: ([\d.]+ s)", "downloaded weights"),
        (r"Model loading took ([\d.]+ Gi?B)|Loading model weights took ([\d.]+ GB)", "weights loaded"),
        (r"Dynamo bytecode transform|Compiling a graph|Using cache directory: .* torch\.compile", "compiling"),
        (r"torch\.compile took ([\d.]+ s)", "compiled"),
        (r"Available KV cache memory: (-?[\d.]+ GiB)", "sizing the KV cache"),
        (r"KV cache size: ([\d,]+ tokens)", "KV cache"),
        (r"# GPU blocks: (\d+)", "KV cache"),
        (r"Capturing the model for CUDA graphs", "capturing CUDA graphs"),
        (r"Graph capturing finished in (\d+ secs)", "CUDA graphs captured"),
        (r"init engine .* took ([\d.]+ s)", "engine ready"),
        (r"load_model: loading model", "loading weights"),
        (r"init: model loaded", "weights loaded"),
        (r"Application startup complete|listening on http", "listening"),
    )
)

_SHARDS = re.compile(r"(?:Multi-thread l|L)oading [\w./ ()-]*?:\s+(\d+)% Completed \| (\d+)/(\d+)")
_CAPTURE = re.compile(r"Capturing CUDA graphs[^:]*:\s+(\d+)%\|[^|]*\|\s*(\d+)/(\d+)(?!.*Capturing CUDA graphs)")
_DOWNLOAD = re.compile(r"^([\w./-]+):\s+(\d+)%\|[^|]*\| ([\d.]+[kMGT]?)B?/([\d.]+[kMGT]?)B? ")
_KV_TOKENS = re.compile(r"KV cache size: ([\d,]+) tokens")
_KV_BLOCKS = re.compile(r"# GPU blocks: (\d+), # CPU blocks")
_STATS = re.compile(
    r"Avg prompt throughput: ([\d.]+) tokens/s, Avg generation throughput: ([\d.]+) tokens/s, "
    r"Running: (\d+) reqs, (?:Swapped: \d+ reqs, )?(?:Pending|Waiting): (\d+) reqs.*?KV cache usage: ([\d.]+)%"
)
_EXCEPTION = re.compile(
    r"^(?:\([^)]*\)\s+)*(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\s[^\]]*\]\s*)?"
    r"(?P<exc>[A-Za-z_][\w.]*(?:Error|Exception))(?:: (?P<text>.*))?$"
)
_NO_CAUSE = re.compile(
    # what one process says when another died
    "Engine core initialization failed|EngineDeadError|Background loop has errored|See root cause above"
    # what vLLM tries again, or does without (vllm.md §3.1)
    r"|Error retrieving file list|Error parsing config for|retrying \d+ of \d+"
)
BLOCK = 16
"""Tokens in one of 0.4.3's GPU blocks."""


@dataclass(frozen=True, slots=True)
class Load:
    """One periodic line: what the server was doing over the last ten seconds."""

    prompt_tokens_per_second: float
    generation_tokens_per_second: float
    running: int
    waiting: int
    kv_cache_percent: float


class ServerLog:
    """Reads a server log from its first line on."""

    def __init__(self) -> None:
        self.kv_cache_tokens: int | None = None
        """What the server printed; None until it did."""
        self.load: Load | None = None
        """The last periodic line."""
        self._cause: Cause | None = None
        self._sure = 0

    def read(self, line: str) -> Progress | None:
        """The phase that a line tells of, if it does."""
        self._look_for_cause(line)
        if stats := _STATS.search(line):
            prompt, generation, running, waiting, used = stats.groups()
            self.load = Load(float(prompt), float(generation), int(running), int(waiting), float(used))
            return None
        if tokens := _KV_TOKENS.search(line):
            self.kv_cache_tokens = int(tokens.group(1).replace(",", ""))
        elif blocks := _KV_BLOCKS.search(line):
            self.kv_cache_tokens = int(blocks.group(1)) * BLOCK
        if shards := _SHARDS.search(line):
            percent, done, total = (int(group) for group in shards.groups())
            return Progress("loading weights", f"{done} of {total} shards", percent / 100)
        if capture := _CAPTURE.search(line):
            percent, done, total = (int(group) for group in capture.groups())
            return Progress("capturing CUDA graphs", f"{done} of {total}", percent / 100)
        if download := _DOWNLOAD.match(line):
            file, percent_text, got, of = download.groups()
            return Progress("downloading", f"{file}: {got}B of {of}B", int(percent_text) / 100)
        for pattern, phase in _PHASES:
            if found := pattern.search(line):
                return Progress(phase, next((group for group in found.groups() if group), ""))
        return None

    def _look_for_cause(self, line: str) -> None:
        if _NO_CAUSE.search(line):
            return
        line = line.rstrip()
        told = cause_in(line)
        if not told and (found := _EXCEPTION.match(line)):
            name = found["exc"].rpartition(".")[2]
            told = UNKNOWN, Cause(f"{name}: {found['text']}" if found["text"] else name)
        if told and told[0] > self._sure:  # of equally sure ones, the first is the root
            self._sure, self._cause = told

    def cause(self) -> Cause | None:
        """Why the server died: what is known of it, else its first exception; None when the log does not tell."""
        return self._cause
