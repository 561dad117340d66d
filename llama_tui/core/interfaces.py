"""The three contracts: where machines come from, how a command reaches one, which server serves.

A job knows these and nothing behind them. tests/test_contracts.py runs one body over every implementation.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from llama_tui.core.events import Progress
from llama_tui.core.instances import Instance, InstanceType, Launch
from llama_tui.core.models import Model
from llama_tui.core.plan import Serving, Step
from llama_tui.core.sizing import EngineArgs, Fit


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command left behind."""

    exit_status: int
    """Negative: ended by that signal."""
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server of a machine can be reached from here."""

    base_url: str
    """`http://127.0.0.1:PORT`, without a path."""
    uds: str = ""
    """A Unix socket that stands for the URL's host and port; empty: TCP."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a server died, and what helps."""

    sentence: str
    hint: str = ""


class LogReader(Protocol):
    """Reads a server's log from its first line on."""

    def read(self, line: str) -> Progress | None:
        """The phase that a line tells of, if it does."""
        ...

    def cause(self) -> Cause | None:
        """Why the server died; None when the log does not tell."""
        ...


class Host(Protocol):
    """A machine that answers. Paths are relative to the user's home there."""

    async def run(self, command: str, *, input: bytes = b"", timeout: float = 60.0) -> Completed:  # noqa: A002
        """Run a line of POSIX sh and wait for its end, `timeout` seconds at most.

        Raises:
            HostUnreachable: the connection was lost, or the time is over (the command may still run).
        """
        ...

    async def read(self, path: str, offset: int = 0) -> bytes:
        """The bytes of a file from an offset, at most some hundred KiB; empty at its end or where it does not exist.

        Raises:
            HostUnreachable: the connection was lost.
        """
        ...

    def forward(self, port: int, local_port: int = 0) -> AbstractAsyncContextManager[Address]:
        """Make 127.0.0.1:port of the machine reachable from here while the context lasts.

        With a `local_port` it is that TCP port of 127.0.0.1 here; without, a private Unix socket where it can be.

        Raises:
            HostUnreachable: the connection was lost.
            UsageError: the local port is taken.
        """
        ...


class Cloud(Protocol):
    """Where machines come from."""

    name: str
    rents: bool
    """Machines are launched and terminated. False: the machine is there before and after."""

    async def instance_types(self) -> list[InstanceType]:
        """What can be had, with prices and the regions that have it now. Raises CloudRefused."""
        ...

    async def instances(self) -> list[Instance]:
        """Every machine of the account, also those that we did not launch. Raises CloudRefused."""
        ...

    async def instance(self, id: str) -> Instance | None:  # noqa: A002
        """One machine; None when the cloud does not list it (any more). Raises CloudRefused."""
        ...

    async def launch(self, request: Launch) -> str:
        """Ask for a machine and return its id. Never repeated by the client.

        Raises:
            NoCapacity: there is none.
            CloudRefused: refused, or the answer was lost (then the launch may have happened).
        """
        ...

    async def terminate(self, id: str) -> None:  # noqa: A002
        """Ask once for a machine's end; a machine that is already gone is fine. Raises CloudRefused."""
        ...

    def connect(self, instance: Instance) -> AbstractAsyncContextManager[Host]:
        """Reach a machine while the context lasts.

        Entering raises HostUnreachable, HostKeyUnknown, HostKeyChanged or CredentialRejected.
        """
        ...


class Engine(Protocol):
    """Which server serves the model. Pure: values in, text out."""

    name: str
    profiles: tuple[str, ...]
    """The first is the default; empty: there is but one way."""

    def served_model_name(self, model: Model) -> str:
        """What the server calls the model in the `model` field of requests and answers."""
        ...

    def fit(self, model: Model, instance_type: InstanceType, profile: str, args: EngineArgs) -> Fit:
        """What the model leaves room for on that machine; without a `max_model_len` as much context as there is.

        Raises:
            UsageError: no machine can serve the model with these arguments.
        """
        ...

    def image_family(self, profile: str, instance_type: InstanceType) -> str:
        """Which of Lambda's images brings what the steps build on (lambda-cloud-api.md §4.6)."""
        ...

    def steps(self, serving: Serving) -> tuple[Step, ...]:
        """The shell steps from a bare machine to a server that answers `/health`."""
        ...

    def warnings(self, serving: Serving) -> tuple[str, ...]:
        """What a person should know before money is spent, a sentence each."""
        ...
