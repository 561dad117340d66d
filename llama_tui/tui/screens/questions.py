"""What is asked before something starts or ends: exactly what happens, and what it costs."""

from __future__ import annotations

from llama_tui.core.errors import HostKeyUnknown
from llama_tui.core.limits import HOLDS, in_words
from llama_tui.core.money import dollars, per_hour
from llama_tui.core.plan import Plan
from llama_tui.endpoints import Endpoint
from llama_tui.redact import clean
from llama_tui.tui.widgets.status_header import now

Details = list[tuple[str, str]]


def of_host_key(error: HostKeyUnknown) -> tuple[str, Details]:
    """Whether a machine is the one that was meant."""
    return f"{clean(error.host)} is not known yet. Is this its host key?", [
        ("machine", error.host),
        ("host key", error.fingerprint),
        ("compare", "on the machine: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"),
    ]


def before_end(endpoint: Endpoint) -> tuple[str, Details]:
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


def before_launch(plan: Plan) -> tuple[str, Details, str]:
    """What is asked before a plan is started, the rows under it, and the word for yes."""
    kind = plan.instance_type
    work = f"{len(plan.steps)} steps on the machine, then it answers prompts"
    if not plan.rents:
        where = plan.host or "this computer"
        rows = [("machine", where), ("model", plan.model.repo_id), ("starts", work), ("cost", "nothing is rented")]
        return f"Serve {plan.model.name} on {clean(where)}?", rows, "Start"
    price = per_hour(kind.price_cents_per_hour)
    kept = "the machine is terminated" if plan.on_failure == "terminate" else "the machine is kept and costs on"
    rows = [
        ("machine", f"{kind.name} ({kind.description})"),
        ("region", plan.region or f"any with capacity: {', '.join(kind.regions) or 'none now'}"),
        ("model", plan.model.repo_id),
        ("starts", work),
        ("if setup fails", kept),
    ]
    if limits := in_words(plan.limits):
        rows.insert(-1, ("limits", f"{limits}; {HOLDS}"))
    if plan.cloud == "practice":
        rows[-1] = (rows[-1][0], rows[-1][1].removesuffix(" and costs on"))
        return f"Practise with {plan.name}?", [*rows, ("cost", f"nothing; on Lambda {price}")], "Launch"
    rows.append(("ssh key", "this computer's opens it; the account gets its public half, if it has not got it"))
    rows.append(("cost", f"{price} from the launch until you terminate it"))
    return f"Rent a machine for {plan.name} at {price}?", rows, "Launch"
