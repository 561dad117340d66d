"""What is asked before an endpoint is ended: exactly what goes, and what it has cost."""

from __future__ import annotations

from llama_tui.core.money import dollars, per_hour
from llama_tui.endpoints import Endpoint
from llama_tui.redact import clean
from llama_tui.tui.widgets.status_header import now

Details = list[tuple[str, str]]


def question(endpoint: Endpoint) -> tuple[str, Details]:
    """The question, and the rows under it."""
    name = clean(endpoint.name)
    if endpoint.cloud == "url":
        return f"Forget {name}?", [
            ("server", endpoint.base_url),
            ("what happens", "it runs on; only the entry here goes"),
        ]
    if endpoint.plan is None or not endpoint.plan.rents:
        where = endpoint.host or "this computer"
        return f"Stop {name}?", [
            ("machine", where),
            ("what happens", "the server stops and its folder is removed; downloaded weights stay"),
        ]
    kind = endpoint.plan.instance_type.name
    rows = [("machine", f"{kind} in {endpoint.instance.region}" if endpoint.instance else f"{kind}, if there is one")]
    if price := endpoint.price_cents_per_hour:
        spent = f"{dollars(endpoint.spent_usd(now()))} so far, at {per_hour(price)}"
        rows.append(("cost", f"nothing: practice (on Lambda {spent})" if endpoint.cloud == "practice" else spent))
    rows.append(
        ("what happens", "the machine and everything on it is deleted; the receipt comes when it is proven gone")
    )
    return f"Terminate {name}?", rows
