"""How long things take on the pretend Lambda, and what goes wrong there on demand (lambda-cloud-api.md §7).

`switches.json` in the practice folder is read anew when it changes:

    {"insufficient_capacity": ["gpu_1x_a10 us-east-1"], "boot": "stuck", "lost_launch_answers": 1}
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Literal

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


Boot = Literal["", "stuck", "unhealthy"]


class Switches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `switches.json` can say."""

    insufficient_capacity: tuple[str, ...] = ()
    """`TYPE` or `TYPE REGION`: listed as available, refused at launch."""
    lost_launch_answers: int = 0
    """So many launches happen, and their answer never arrives."""
    boot: Boot = ""
    """`stuck`: booting for ever; `unhealthy`: comes up so. For machines launched while it is set."""
    strangers: int = 0
    """So many machines in the account that somebody else has launched."""
    seconds_between_calls: float = 0.0
    """A call that comes sooner gets 429. Lambda: 1."""
    seconds_between_launches: float = 0.0
    """A launch that comes sooner gets 429. Lambda: 12."""


class Faults:
    """The one place that is asked what goes wrong now."""

    def __init__(self, file: Path) -> None:
        self.switches = Switches()
        self._file = file
        self._seen: tuple[int, int, int] | None = None
        self._answers_to_lose = 0
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
        self._answers_to_lose = self.switches.lost_launch_answers
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

    def at_launch(self, instance_type: str, region: str) -> None:
        """Raises Refused where a type that is listed is not there after all."""
        if {instance_type, f"{instance_type} {region}"} & set(self.switches.insufficient_capacity):
            raise insufficient_capacity()

    def loses_answer(self) -> bool:
        """Whether the answer to the launch that has just happened never arrives."""
        lost = self._answers_to_lose > 0
        self._answers_to_lose -= lost
        return lost
