"""The endpoints that this computer knows, in SQLite: what was meant, what came of it, what it cost.

Every fact is committed by itself, the intent before the launch, so a process may die anywhere. Several processes
may write at once: WAL, and a write transaction for each change.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from llama_tui.core.errors import LlamaTuiError, UsageError, unknown
from llama_tui.core.instances import Instance
from llama_tui.core.limits import merged
from llama_tui.core.money import Receipt, cost_usd
from llama_tui.core.plan import Plan

State = Literal["launching", "booting", "setup", "ready", "failed", "ending", "ended"]
Source = Literal["setup", "server"]

SCHEMA = 1
BUSY_SECONDS = 30.0
"""How long a writer waits for another process' transaction."""

_TABLES = """
CREATE TABLE endpoints (id TEXT PRIMARY KEY, name TEXT NOT NULL, live INTEGER NOT NULL, body TEXT NOT NULL);
CREATE UNIQUE INDEX one_live_name ON endpoints (name) WHERE live;
CREATE TABLE journal (at TEXT NOT NULL, endpoint_id TEXT NOT NULL, what TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE receipts (endpoint_id TEXT PRIMARY KEY, body TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What remains of a deploy, on this computer and (without a secret, as manifest.json) on its host."""

    id: str
    name: str
    cloud: str
    """`lambda`, `practice`, `ssh`, `local`; `url` for a server that somebody else runs."""
    host: str
    state: State
    created: datetime
    plan: Plan | None = None
    """None for a `url`."""
    instance: Instance | None = None
    launched: datetime | None = None
    """When a launch was accepted: billing is counted from here."""
    ready: datetime | None = None
    port: int = 0
    """The server's port on its machine."""
    local_port: int = 0
    """The stable TCP port of 127.0.0.1 here that `connect` listens on."""
    base_url: str = ""
    """Of a `url`, without `/v1`."""
    model: str = ""
    """What the server calls its model."""
    failure: str = ""
    """Why the last start failed, one sentence."""
    work_done: int | None = None
    """The server's own count of its work at the last look; only that it changes means something."""
    idle_since: datetime | None = None
    """The last look that found that count changed, or a request at work; None: nobody has looked."""

    @property
    def instance_name(self) -> str:
        """The unique name under which its machine is launched, and found again after a lost answer."""
        return f"llama-tui-{self.name}-{self.id}"

    @property
    def directory(self) -> str:
        """Its folder on the machine, from the home there."""
        return f".llama-tui/{self.name}"

    @property
    def price_cents_per_hour(self) -> int:
        """What its machine costs while it runs; 0 where nothing is rented or nothing was launched."""
        if self.launched is None or self.plan is None or not self.plan.rents or self.state == "ended":
            return 0
        if self.instance and self.instance.price_cents_per_hour:
            return self.instance.price_cents_per_hour
        return self.plan.instance_type.price_cents_per_hour

    def spent_usd(self, now: datetime) -> float:
        """Dollars since the launch: an upper estimate."""
        return cost_usd(self.price_cents_per_hour, self.launched, now) if self.launched else 0.0


def _ended(endpoint: Endpoint) -> UsageError:
    if endpoint.state == "ended":
        return UsageError(f"{endpoint.name} was ended by another llama-tui meanwhile", "give the same `up` again")
    return UsageError(
        f"{endpoint.name} is being ended", f"let that finish: llama-tui down {endpoint.name}; then `up` again"
    )


class Endpoints:
    """The record of endpoints, journal and receipts in one database file, with the local copies of their logs.

    Args:
        folder: state folder of this person; made 0700 on first use.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise LlamaTuiError(
                f"the folder for the record of endpoints, {folder}, cannot be made: {error.strerror}",
                "give another with XDG_STATE_HOME=FOLDER",
            ) from error
        file = folder / "endpoints.sqlite3"
        try:
            self._db = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._create()
        except sqlite3.DatabaseError as error:
            raise LlamaTuiError(
                f"the record of endpoints in {file} cannot be read: {error}",
                "move the file away to start anew; what runs in an account is still listed by `llama-tui ls`",
            ) from error

    def _create(self) -> None:
        with self._writing():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA:
                raise LlamaTuiError(
                    "the record of endpoints was written by a newer llama-tui",
                    "update this one: pip install --upgrade llama-endpoint-tui",
                )
            if version == 0:
                for statement in _TABLES.strip().split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={SCHEMA}")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    # ---- writing

    def intend(self, plan: Plan) -> Endpoint:
        """The live endpoint of that name, or a new one in state `launching`, committed.

        Raises:
            UsageError: the name is taken by an endpoint with another model or on another cloud.
        """
        with self._writing():
            if found := self._live(plan.name):
                if (found.cloud, found.host) != (plan.cloud, plan.host) or (
                    found.plan and found.plan.model.name != plan.model.name
                ):
                    where = found.host or found.cloud
                    raise UsageError(
                        f"{plan.name} is already the name of {found.model} on {where}",
                        f"choose another --name, or end that one: llama-tui down {plan.name}",
                    )
                return self._replan(found, plan)
            return self._insert(
                Endpoint(
                    id=secrets.token_hex(4),
                    name=plan.name,
                    cloud=plan.cloud,
                    host=plan.host,
                    state="launching",
                    created=datetime.now(UTC),
                    plan=plan,
                    model=plan.served_model_name,
                )
            )

    def _replan(self, endpoint: Endpoint, plan: Plan) -> Endpoint:
        """The endpoint with a newer plan, unless its machine is of another type already."""
        old = endpoint.plan
        if endpoint.launched and old and old.instance_type.name != plan.instance_type.name:
            raise UsageError(
                f"{endpoint.name} has its machine already, a {old.instance_type.name}",
                f"leave --type out, or end it first: llama-tui down {endpoint.name}",
            )
        if old:  # a limit that was set once is not lost because it is not typed again
            plan = replace(plan, limits=merged(old.limits, plan.limits))
        endpoint = replace(endpoint, plan=plan)
        self._write(endpoint)
        return endpoint

    def adopt(self, endpoint: Endpoint) -> Endpoint:
        """Record an endpoint that came up elsewhere; of one that is known here, only where it stands is learned anew.

        Raises:
            UsageError: its name is taken here, or its id is another endpoint's.
        """
        with self._writing():
            if (found := self._live(endpoint.name)) and found.id != endpoint.id:
                raise UsageError(f"{endpoint.name} is already the name of an endpoint here", "give another --name")
            if known := next(iter(self._select("id = ?", endpoint.id)), None):
                if (known.name, known.cloud, known.host) != (endpoint.name, endpoint.cloud, endpoint.host):
                    where = known.host or known.cloud
                    raise UsageError(
                        f"what is there calls itself {known.id}, which is {known.name} on {where} here",
                        f"use that one, or end it first: llama-tui down {known.name}",
                    )
                if known.state != "ended":
                    state, port, ready = endpoint.state, endpoint.port, endpoint.ready
                    endpoint = replace(known, state=state, port=port, ready=ready)
            return self._insert(endpoint)

    def _insert(self, endpoint: Endpoint) -> Endpoint:
        if not endpoint.local_port:
            used = {other.local_port for other in self._select("live")}
            free = next(port for port in range(18000, 19000) if port not in used)
            endpoint = replace(endpoint, local_port=free)
        self._write(endpoint)
        self._note(endpoint.id, "intent", endpoint.name)
        return endpoint

    def change(self, id: str, **fields: Any) -> Endpoint:  # noqa: A002
        """Set fields of an endpoint, committed; returns it as it is now.

        Raises:
            UsageError: it has ended, or is being ended and this would revive it.
        """
        with self._writing():
            endpoint = self._get(id)
            revives = endpoint.state == "ending" and fields.get("state", "ending") != "ending"
            if revives or endpoint.state == "ended":
                raise _ended(endpoint)
            endpoint = replace(endpoint, **fields)
            self._write(endpoint)
        return endpoint

    def wanted(self, id: str) -> Endpoint:  # noqa: A002
        """The endpoint as it is recorded now. Raises UsageError: somebody has ended it, or is about to."""
        endpoint = self._get(id)
        if endpoint.state in ("ending", "ended"):
            raise _ended(endpoint)
        return endpoint

    def note(self, endpoint_id: str, what: str, detail: str = "") -> None:
        """Add a line to the journal: what was asked of a cloud, or what came back."""
        with self._writing():
            self._note(endpoint_id, what, detail)

    def end(self, id: str, receipt: Receipt | None) -> Endpoint:  # noqa: A002
        """The endpoint is gone; its name is free again. Without a receipt nothing was ever launched.

        It ends once: who comes second changes nothing, neither the record nor the receipt.
        """
        with self._writing():
            endpoint = self._get(id)
            if endpoint.state == "ended":
                return endpoint
            endpoint = replace(endpoint, state="ended")
            self._write(endpoint)
            if receipt:
                body = msgspec.json.encode(receipt).decode()
                self._db.execute("INSERT OR REPLACE INTO receipts VALUES (?, ?)", (id, body))
        return endpoint

    def _note(self, endpoint_id: str, what: str, detail: str) -> None:
        now = datetime.now(UTC).isoformat()
        self._db.execute("INSERT INTO journal VALUES (?, ?, ?, ?)", (now, endpoint_id, what, detail))

    def _write(self, endpoint: Endpoint) -> None:
        body = msgspec.json.encode(endpoint).decode()
        live = endpoint.state != "ended"
        self._db.execute(
            "INSERT OR REPLACE INTO endpoints VALUES (?, ?, ?, ?)", (endpoint.id, endpoint.name, live, body)
        )

    # ---- reading

    def _select(self, where: str, *values: str) -> list[Endpoint]:
        rows = self._db.execute(f"SELECT body FROM endpoints WHERE {where} ORDER BY rowid", values)  # noqa: S608
        return [msgspec.json.decode(body, type=Endpoint) for (body,) in rows]

    def _live(self, name: str) -> Endpoint | None:
        found = self._select("live AND name = ?", name)
        return found[0] if found else None

    def _get(self, id: str) -> Endpoint:  # noqa: A002
        return self._select("id = ?", id)[0]

    def get(self, id: str) -> Endpoint:  # noqa: A002
        """The endpoint as it is recorded now."""
        return self._get(id)

    def live(self) -> list[Endpoint]:
        """All that have not ended, oldest first."""
        return self._select("live")

    def find(self, name: str, *, ended: bool = False) -> Endpoint:
        """The live endpoint of that name; with `ended` also the last one that had it.

        Raises:
            UsageError: there is none; the nearest name is in the hint.
        """
        if found := self._live(name):
            return found
        if ended and (past := self._select("name = ?", name)):
            return past[-1]
        raise unknown("endpoint", name, {one.name for one in self.live()})

    def noted(self, endpoint_id: str, what: str) -> datetime | None:
        """When the journal last noted that for an endpoint."""
        row = self._db.execute(
            "SELECT max(at) FROM journal WHERE endpoint_id = ? AND what = ?", (endpoint_id, what)
        ).fetchone()
        return datetime.fromisoformat(row[0]) if row[0] else None

    def receipts(self) -> list[Receipt]:
        """All receipts, oldest first."""
        rows = self._db.execute("SELECT body FROM receipts ORDER BY rowid")
        return [msgspec.json.decode(body, type=Receipt) for (body,) in rows]

    # ---- beside the database

    def log_file(self, endpoint: Endpoint, source: Source) -> Path:
        """The local copy of one of its logs: the bytes as they are on the machine, in a folder of mode 0700."""
        folder = self.folder / "logs" / endpoint.id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder / f"{source}.log"

    @asynccontextmanager
    async def launching(self, id: str) -> AsyncIterator[None]:  # noqa: A002
        """Hold the right to launch the machine of an endpoint: one process at a time has it.

        The lock goes with the process that holds it, so a killed one blocks nobody.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / f"launch-{id}.lock", timeout=0)
        while True:
            try:
                lock.acquire()
                break
            except Timeout:
                await asyncio.sleep(0.1)
        try:
            yield
        finally:
            lock.release()
