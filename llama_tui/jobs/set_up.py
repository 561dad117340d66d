"""Set an endpoint up on a machine that answers: hand the steps over, start them, watch until the server is ready.

The machine does the work (assets/host/run.sh); this only watches. A cut line is mended and the watching goes on at
the byte where it stopped.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import shlex
import tarfile
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import msgspec

from llama_tui.core.errors import HostUnreachable, PreflightFailed, SetupFailed, UsageError
from llama_tui.core.events import Emit, Event, Output, Progress, Said, StepFinished, StepSkipped, StepStarted
from llama_tui.core.interfaces import Cloud, Host, LogReader
from llama_tui.core.plan import Plan, Step, check_name
from llama_tui.endpoints import Endpoint, Endpoints
from llama_tui.jobs.follow_log import LogCopy
from llama_tui.jobs.reach import machine_of
from llama_tui.jobs.rent import Patience
from llama_tui.redact import Secret, clean

MANIFEST_VERSION = 1
LOOK_SECONDS = 0.1
"""Between two looks at the logs while they move; it grows to SLOWEST_LOOK while they do not."""
SLOWEST_LOOK = 0.25
ALIVE_SECONDS = 3.0
"""Silence after which we ask whether run.sh still lives."""
RECONNECT_SECONDS = (0.5, 1, 2, 4, 8, 15, 30)
"""Pauses between attempts to reach a machine again; the last one repeats until the patience is over."""

_ID = re.compile(r"[0-9a-f]{8}")
"""An id names files here: nothing else is taken for one."""
_MARKER = re.compile(r"^=== (\S+Z) (\S+) (begin|end|skip)(?: (\d+))?$")
_SAID = re.compile(r"^llama-tui: ([^|]*)(?:\| (.*))?$")


def host_script(name: str) -> bytes:
    """A script of assets/host/, from the installed package or from the checkout."""
    packaged = resources.files("llama_tui") / "host_scripts" / name
    if packaged.is_file():
        return packaged.read_bytes()
    return (Path(__file__).parents[2] / "assets" / "host" / name).read_bytes()


def events_of(line: str) -> Event | None:
    """The event that a line of setup.log tells, if it is a marker of run.sh."""
    found = _MARKER.match(line)
    if not found or found.group(2) == "run":
        return None
    at = datetime.strptime(found.group(1), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    match found.group(3):
        case "begin":
            return StepStarted(found.group(2), at)
        case "skip":
            return StepSkipped(found.group(2))
        case _:
            return StepFinished(found.group(2), at, int(found.group(4) or 1))


def manifest(endpoint: Endpoint) -> bytes:
    """The endpoint as its host keeps it, without a secret."""
    facts = {"version": MANIFEST_VERSION, "endpoint": msgspec.to_builtins(endpoint)}
    return (json.dumps(facts, indent=1) + "\n").encode()


def read_manifest(raw: bytes) -> Endpoint:
    """The endpoint of a manifest.json, which is the machine's word. Raises SetupFailed when it is not one."""
    try:
        facts = json.loads(raw)
        endpoint = msgspec.convert(facts["endpoint"], Endpoint)
        if not _ID.fullmatch(endpoint.id):
            raise ValueError("it has no id of ours")
        check_name(endpoint.name)
        return endpoint
    except (ValueError, KeyError, TypeError, UsageError, msgspec.ValidationError) as error:
        raise SetupFailed(
            f"manifest.json on the machine cannot be read: {error}", "set it up anew with another --name"
        ) from error


def step_file(step: Step) -> bytes:
    """A step as it stands on the machine."""
    needs = "".join(f"# needs: {secret}\n" for secret in step.secrets)
    return f"# {step.title}\n{needs}{step.script}".encode()


async def set_up(
    endpoint: Endpoint,
    cloud: Cloud,
    endpoints: Endpoints,
    secrets: Mapping[str, Secret],
    reader: LogReader,
    emit: Emit,
    patience: Patience,
) -> Endpoint:
    """The endpoint, ready: its server answers.

    Raises:
        PreflightFailed: the machine is not one that can do it.
        UsageError: somebody has ended the endpoint meanwhile.
        SetupFailed: a step failed, the server died, or nothing moved for `patience.setup`.
        HostUnreachable: the machine could not be reached again.
    """
    plan = endpoint.plan
    assert plan is not None
    endpoint = endpoints.change(endpoint.id, state="setup", failure="")
    watching = _Watching(endpoint, endpoints, reader, emit)
    lost = 0.0
    pauses = iter(RECONNECT_SECONDS)
    try:
        while True:
            try:
                async with cloud.connect(machine_of(endpoint)) as host:
                    lost, pauses = 0.0, iter(RECONNECT_SECONDS)
                    if not watching.started:
                        await _start(endpoint, plan, host, secrets)
                        watching.started = True
                    exit_status = await watching.watch(host, patience)
                    port = (await host.read(f"{endpoint.directory}/port")).strip()
                break
            except HostUnreachable as error:
                endpoints.wanted(endpoint.id)  # the machine of one that was ended never answers again
                lost = lost or time.monotonic()
                if time.monotonic() - lost > patience.boot:
                    raise
                pause = next(pauses, RECONNECT_SECONDS[-1])
                emit(Said(f"{clean(error.sentence)}; trying again in {pause:g} s (the setup goes on there)"))
                await asyncio.sleep(pause)
        if exit_status != 0:
            raise watching.failure(exit_status)
    finally:
        watching.close()
    return endpoints.change(endpoint.id, state="ready", port=int(port), ready=datetime.now(UTC), failure="")


async def _start(endpoint: Endpoint, plan: Plan, host: Host, secrets: Mapping[str, Secret]) -> None:
    """Put the folder on the machine and start run.sh, unless it runs already."""
    there = await host.read(f"{endpoint.directory}/manifest.json")
    files = {f"steps/{step.id}.sh": step_file(step) for step in plan.steps}
    stale: list[str] = []
    if there:
        known = read_manifest(there)
        if known.id != endpoint.id:
            raise UsageError(
                f"{endpoint.name} is already set up there, by another computer or an earlier llama-tui",
                f"choose another --name, or adopt it: llama-tui attach {endpoint.host or endpoint.cloud}",
            )
        stale = await _stale_steps(host, endpoint, plan)
    folder = shlex.quote(endpoint.directory)
    forget = "".join(f" steps/{id_}.rc" for id_ in stale)
    upload = _tar({"run.sh": host_script("run.sh"), "manifest.json": manifest(endpoint), **files})
    prepare = (
        f"umask 077 && mkdir -p {folder} && cd {folder} && tar -xf - && "
        + (f"rm -f{forget} && " if forget else "")
        + 'if [ -d /dev/shm ] && [ -w /dev/shm ]; then echo /dev/shm; else echo "$PWD"; fi'
    )
    done = await host.run(prepare, input=upload)
    if done.exit_status != 0:
        reason = clean(done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2])
        raise PreflightFailed(
            f"the steps could not be put on the machine: {reason}", "is its disk full, or its home read-only?"
        )
    shelf = done.stdout.decode().strip().rpartition("\n")[2]
    for name in plan.secrets:
        if secrets.get(name):
            await _hand_over(host, endpoint, name, secrets[name], shelf)
    started = await host.run(f"cd {folder} && sh run.sh start .")
    if started.exit_status != 0:
        reason = clean(started.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2])
        raise SetupFailed(f"the setup could not be started: {reason}")


async def _stale_steps(host: Host, endpoint: Endpoint, plan: Plan) -> list[str]:
    """Steps from the first one on that says something else now: what they had done does not count any more."""
    for index, step in enumerate(plan.steps):
        if await host.read(f"{endpoint.directory}/steps/{step.id}.sh") != step_file(step):
            return [later.id for later in plan.steps[index:]]
    return []


async def _hand_over(host: Host, endpoint: Endpoint, name: str, secret: Secret, shelf: str) -> None:
    """Put a secret into a 0600 file in memory, by standard input: it is in no command line and on no disk."""
    path = shlex.quote(f"{shelf}/llama-tui-{endpoint.id}-{name}")
    folder = shlex.quote(endpoint.directory)
    command = f"umask 077 && cat >{path} && mkdir -p {folder}/secrets && echo {path} >{folder}/secrets/{name}"
    done = await host.run(command, input=secret.reveal().encode())
    if done.exit_status != 0:
        raise SetupFailed(f"the {name.replace('_', ' ')} could not be handed to the machine", "is its memory full?")


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class _Watching:
    """Both logs of a setup, from line 1 on, over as many connections as it takes."""

    def __init__(self, endpoint: Endpoint, endpoints: Endpoints, reader: LogReader, emit: Emit) -> None:
        self.endpoint = endpoint
        self.started = False
        self._emit = emit
        self._setup = LogCopy(endpoints.log_file(endpoint, "setup"), "setup")
        self._server = LogCopy(endpoints.log_file(endpoint, "server"), "server")
        self._reader = reader
        self._progress = Progress("")
        self._step = ""
        self._said = ""
        self._last = ""
        self._lines: deque[str] = deque(maxlen=200)

    def close(self) -> None:
        for copy in (self._setup, self._server):
            copy.__exit__()

    async def watch(self, host: Host, patience: Patience) -> int:
        """Tell what happens until run.sh is over; returns its exit status."""
        directory = self.endpoint.directory
        moved = asked = time.monotonic()
        look = LOOK_SECONDS
        while True:
            finished = (await host.read(f"{directory}/run.rc")).strip()
            before = self._setup.position + self._server.position
            await self._pull(host)
            now = time.monotonic()
            if self._setup.position + self._server.position != before:
                moved, look = now, LOOK_SECONDS
                continue
            if finished:
                return int(finished)
            if now - max(moved, asked) > ALIVE_SECONDS:
                asked = now
                alive = await host.run(f"sh {shlex.quote(directory)}/run.sh alive {shlex.quote(directory)}")
                if alive.exit_status != 0 and not await host.read(f"{directory}/run.rc"):
                    raise SetupFailed(
                        "the setup was cut off on the machine (a restart, or too little memory)",
                        "the same `up` continues where it stopped",
                    )
            if now - moved > patience.setup:
                raise SetupFailed(
                    f"nothing has moved on the machine for {patience.setup / 60:.0f} minutes, in step {self._step}",
                    "it is left running; look at the log, or give the same `up` again to go on watching",
                )
            await asyncio.sleep(look)
            look = min(look * 1.3, SLOWEST_LOOK)

    async def _pull(self, host: Host) -> None:
        if lines := await self._setup.pull(host, self.endpoint.directory):
            self._emit(Output("setup", lines))
            for line in lines:
                self._read_setup(line)
        if lines := await self._server.pull(host, self.endpoint.directory):
            self._emit(Output("server", lines))
            for line in lines:
                if (progress := self._reader.read(line)) and progress != self._progress:
                    self._progress = progress
                    self._emit(progress)

    def _read_setup(self, line: str) -> None:
        if event := events_of(line):
            if isinstance(event, StepStarted):
                self._step, self._said = event.id, ""
                self._lines.clear()
            self._emit(event)
        elif line.startswith("llama-tui: "):
            self._said = line
        elif line.strip() and not line.startswith(("===", "Hint:")):  # the Hub's client ends with advice
            self._last = line.strip()
            self._lines.append(line.removeprefix("weights: "))

    def failure(self, exit_status: int) -> SetupFailed | PreflightFailed:
        """The error of a run that ended badly: what the step said, or why the server died, or its last line."""
        name = self.endpoint.name
        see = f"read it all: llama-tui logs {name} --source setup"
        said = _SAID.match(self._said)
        what, next_thing = (said.group(1).strip(), (said.group(2) or see).strip()) if said else ("", see)
        rents = self.endpoint.plan is not None and self.endpoint.plan.rents
        if what and exit_status == 3 and not rents:  # of a machine that is rented nothing is found before it costs
            return PreflightFailed(what, next_thing)
        if not self._step.startswith("9"):
            for line in self._lines:  # pip and the Hub's client fail in words that the server has too
                self._reader.read(line)
        cause = self._reader.cause()
        if self._step.startswith("9") and cause:
            return SetupFailed(
                f"the server died: {cause.sentence}", cause.hint or f"read it all: llama-tui logs {name}"
            )
        if cause:
            return SetupFailed(f"{what or f'step {self._step} failed'}: {cause.sentence}", cause.hint or next_thing)
        if what:
            return SetupFailed(what, next_thing)
        return SetupFailed(f"step {self._step} failed: {self._last or f'exit status {exit_status}'}", see)
