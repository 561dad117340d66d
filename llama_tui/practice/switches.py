"""How long things take on the pretend Lambda, and what goes wrong there on demand (lambda-cloud-api.md §7).

`switches.json` in the practice folder is read anew when it changes:

    {"insufficient_capacity": ["gpu_1x_a10 us-east-1"], "boot": "stuck",
     "answers": [{"to": "GET instances", "status": 503, "code": "provider/internal-unavailable", "times": 2}]}

Not imitated: what no step of ours touches (dpkg's lock, Docker), and ports behind the firewall (all goes by SSH).
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any, Literal

import msgspec

from llama_tui.practice.refused import Refused, insufficient_capacity


class Timing(msgspec.Struct, frozen=True):
    """Seconds from one state of a machine to the next. Practice is for trying, so they are short."""

    ip: float = 0.1
    ssh: float = 0.0
    active: float = 0.3
    terminating: float = 0.3
    terminated: float = 0.3
    restart: float = 0.3


class Scripted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What requests get instead of the account's own answer."""

    to: str = ""
    """How they begin: `POST instance-operations/launch`. Empty: all of them."""
    skip: int = 0
    """So many of them pass first."""
    times: int = 1
    """So many of them get it; 0: all."""
    status: int = 0
    """0: the account answers (late, where `seconds` says so)."""
    code: str = ""
    """With it the body is the vendor's envelope."""
    body: str = ""
    """Else this, as it is."""
    headers: dict[str, str] = {}
    seconds: float = 0.0
    """Until the answer."""
    drops: bool = False
    """The connection breaks in the middle of the answer."""
    done: bool = False
    """What was asked for happens all the same."""


class Switches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `switches.json` can say. What is about machines is for those that are launched while it is said."""

    answers: tuple[Scripted, ...] = ()
    """The first that fits a request is taken."""
    seconds_between_calls: float = 0.0
    """A call that comes sooner gets 429. Lambda: 1."""
    seconds_between_launches: float = 0.0
    """A launch that comes sooner gets 429. Lambda: 12."""
    insufficient_capacity: tuple[str, ...] = ()
    """`TYPE` or `TYPE REGION`: listed as available, refused at launch."""
    listed: dict[str, tuple[str, ...]] = {}
    """Type → the regions that are listed, whatever there is."""
    price_at_launch: dict[str, int] = {}
    """Type → cents per hour of one that is launched, whatever is listed."""
    hidden_reads: int = 0
    """So many reads do not show a machine that is there."""
    boot: Literal["", "stuck", "unhealthy", "preempted", "terminated"] = ""
    """`stuck`: booting for ever; else what it becomes instead of active. sshd never comes up."""
    seconds_to_ssh: float = 0.0
    """sshd comes up so long after the machine is active; 0: before it is."""
    refuses_keys: bool = False
    """sshd lets nobody in."""
    programs: dict[str, str] = {}
    """Name → shell script that the machine finds before its own program of that name."""
    shown: dict[str, Any] = {}
    """Laid over every machine that is shown: `{"status": "unhealthy", "ip": null, "is_new": true}`."""
    absent: tuple[str, ...] = ()
    """Fields that no machine shows."""
    deaf_terminates: int = 0
    """So many requests to terminate are accepted, and nothing happens."""
    strangers: int = 0
    """So many machines in the account that somebody else has launched."""


class Faults:
    """The one place that is asked what goes wrong now."""

    def __init__(self, file: Path) -> None:
        self.switches = Switches()
        self._file = file
        self._seen: tuple[int, int, int] | None = None
        self._deaf = 0
        self._asked: dict[int, int] = {}
        """Place in `answers` → requests that it fitted."""
        self._last: dict[str, float] = {}

    def read_if_changed(self) -> bool:
        """Read `switches.json` if it is another than before. One that makes no sense is told in the log and left."""
        try:
            stat = self._file.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            seen = None
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self.switches = msgspec.json.decode(self._file.read_bytes(), type=Switches) if seen else Switches()
        except (OSError, ValueError) as error:
            print(f"{self._file.name} is left aside: {error}", file=sys.stderr, flush=True)  # noqa: T201
            return False
        self._deaf = self.switches.deaf_terminates
        self._asked.clear()
        self._last.clear()
        return True

    def at_call(self, *, launch: bool) -> None:
        """Raises Refused (429) for a call that comes too soon."""
        gaps = {"call": self.switches.seconds_between_calls}
        if launch:
            gaps["launch"] = self.switches.seconds_between_launches
        now = time.monotonic()
        wait = max(self._last.get(kind, -math.inf) + gap - now for kind, gap in gaps.items())
        if wait > 0:
            # The vendor documents neither code nor header (lambda-cloud-api.md §1.4).
            raise Refused(429, "global/rate-limited", "Too many requests.", retry_after=wait)
        self._last |= dict.fromkeys(gaps, now)

    def scripted(self, request: str) -> Scripted | None:
        """What this request (`GET instances/ID`) gets instead of the account's answer."""
        for place, one in enumerate(self.switches.answers):
            if not request.startswith(one.to):
                continue
            asked = self._asked[place] = self._asked.get(place, 0) + 1
            if asked > one.skip and (not one.times or asked <= one.skip + one.times):
                return one
        return None

    def at_launch(self, instance_type: str, region: str) -> None:
        """Raises Refused where a type that is listed is not there after all."""
        if {instance_type, f"{instance_type} {region}"} & set(self.switches.insufficient_capacity):
            raise insufficient_capacity()

    def deaf(self) -> bool:
        """Whether nothing happens on this request to terminate."""
        deaf = self._deaf > 0
        self._deaf -= deaf
        return deaf
