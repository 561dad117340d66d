"""While the app is open it keeps the limits: it warns once before one is reached, and ends what is over."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

from llama_tui.core.errors import as_told
from llama_tui.core.limits import Standing, first_over
from llama_tui.jobs.limits import limits_of
from llama_tui.redact import clean

if TYPE_CHECKING:
    from llama_tui.endpoints import Endpoint
    from llama_tui.tui.app import LlamaTuiApp

WARN_BEFORE_SECONDS = 300.0
"""Before a limit of dollars or hours is reached; of idle minutes a request is the answer."""
STAYS_SECONDS = 60.0
"""How long a notification of a limit stays."""
MORE = {"dollars": "--cap USD", "hours": "--max HOURS"}


class LimitWatch:
    """Looks at every live endpoint that was launched from this computer.

    Args:
        app: notified, and told what to end.
    """

    def __init__(self, app: LlamaTuiApp) -> None:
        self._app = app
        self._said: set[tuple[str, ...]] = set()
        self._looking = False

    async def look(self, at: datetime) -> None:
        """End what is over at that time, and warn of what soon will be. One look at a time: others return at once."""
        if self._looking:
            return
        self._looking = True
        try:
            for endpoint in self._app.services.endpoints.live():
                await self._look_at(endpoint, at)
        except Exception as error:  # noqa: BLE001 — limits that are not kept are said, and looked at again
            told = as_told(error)
            if self._first(told.sentence):
                self._app.tell_trouble(told)
        finally:
            self._looking = False

    async def _look_at(self, endpoint: Endpoint, at: datetime) -> None:
        services = self._app.services
        found = await limits_of(endpoint, services.endpoints, services.reach, at)
        if over := first_over(found):
            self._end(endpoint, over)
            return
        for one in found:
            if one.unknown and endpoint.state == "ready" and self._first(endpoint.id, one.limit, one.unknown):
                self._notify(f"{endpoint.name}: how long it is idle is not known", f"{one.unknown}; that limit waits")
            elif one.kind in MORE and one.seconds_left is not None and one.seconds_left <= WARN_BEFORE_SECONDS:
                self._warn(endpoint, one, one.seconds_left)

    def _warn(self, endpoint: Endpoint, one: Standing, seconds_left: float) -> None:
        if not self._first(endpoint.id, one.limit):
            return
        minutes = math.ceil(seconds_left / 60)
        more = f"llama-tui up --cloud {endpoint.cloud} --name {endpoint.name} {MORE[one.kind]}"
        self._notify(
            f"{endpoint.name}: {minutes} min until its limit of {one.limit}",
            f"then its machine is ended; for more: {more}",
        )

    def _end(self, endpoint: Endpoint, over: Standing) -> None:
        known = self._app.endings.get(endpoint.name)
        if known and known.running:
            return
        self._app.start_terminate(endpoint, why=over.why)
        self._notify(f"{endpoint.name}: {over.why}", "its machine is being ended; the receipt comes when it is gone")

    def _first(self, *key: str) -> bool:
        """Is this the first time? It is said once."""
        new = key not in self._said
        self._said.add(key)
        return new

    def _notify(self, title: str, text: str) -> None:
        self._app.notify(clean(text), title=clean(title), severity="warning", timeout=STAYS_SECONDS, markup=False)
