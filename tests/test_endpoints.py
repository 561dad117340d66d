"""The record of endpoints: committed fact by fact, by several processes at once."""

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llama_tui.core.errors import LlamaTuiError, UsageError
from llama_tui.core.instances import Instance, InstanceType
from llama_tui.core.models import find_model
from llama_tui.core.money import Receipt
from llama_tui.core.plan import Choices, Plan, make_plan
from llama_tui.endpoints import Endpoints
from llama_tui.engines import engine_for

KIND = InstanceType("cpu_4x_general", "4 vCPUs", 0, 0, 4, 16, 100, 20, regions=("us-west-1",))


def plan_named(name: str, model: str = "smollm2-135m", cloud: str = "practice") -> Plan:
    found = find_model(model)
    return make_plan(Choices(model, cloud, name=name), found, [KIND], engine_for("", found), rents=True)


@pytest.fixture
def endpoints(tmp_path: Path) -> Endpoints:
    return Endpoints(tmp_path / "state")


def test_an_intent_is_there_for_the_next_process(endpoints: Endpoints, tmp_path: Path) -> None:
    """What was meant is on disk before anything is launched, whole: the plan comes back as it was."""
    meant = endpoints.intend(plan_named("demo"))
    again = Endpoints(tmp_path / "state")
    assert again.find("demo") == meant
    assert again.find("demo").plan == plan_named("demo")
    assert again.intend(plan_named("demo")).id == meant.id


def test_many_processes_make_one_endpoint(tmp_path: Path) -> None:
    """Ten processes mean the same name at once: one endpoint, one id."""
    code = """
import sys
from pathlib import Path
from tests.test_endpoints import plan_named
from llama_tui.endpoints import Endpoints
print(Endpoints(Path(sys.argv[1])).intend(plan_named("demo")).id)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "state")]
    root = Path(__file__).parents[1]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) for _ in range(10)]
    ids = {process.communicate(timeout=60)[0].strip() for process in started}
    assert len(ids) == 1
    assert ids != {""}


def test_a_name_belongs_to_one_endpoint(endpoints: Endpoints) -> None:
    """Another model, or another cloud, under a live name is refused and nothing is changed."""
    meant = endpoints.intend(plan_named("demo"))
    with pytest.raises(UsageError, match="already the name"):
        endpoints.intend(plan_named("demo", cloud="lambda"))
    assert endpoints.live() == [meant]


def test_a_launched_endpoint_costs_until_it_is_ended(endpoints: Endpoints) -> None:
    """Money is counted from the accepted launch; a name is free again after the end, and the receipt stays."""
    meant = endpoints.intend(plan_named("demo"))
    assert meant.price_cents_per_hour == 0
    then = datetime.now(UTC) - timedelta(minutes=30)
    machine = Instance("i-1", meant.instance_name, "active", KIND.name, "us-west-1", 20)
    endpoint = endpoints.change(meant.id, launched=then, instance=machine, state="ready")
    assert endpoint.price_cents_per_hour == 20
    assert endpoint.spent_usd(then + timedelta(minutes=30)) == pytest.approx(0.10)
    receipt = Receipt("demo", "practice", KIND.name, "us-west-1", then, datetime.now(UTC), 30, 0.10, "you said so")
    endpoints.end(meant.id, receipt)
    assert endpoints.receipts() == [receipt]
    assert endpoints.live() == []
    assert endpoints.find("demo", ended=True).state == "ended"
    assert endpoints.intend(plan_named("demo")).id != meant.id


def test_what_has_ended_stays_ended(endpoints: Endpoints) -> None:
    """Who still works on it learns that; who ends it second changes neither record nor receipt."""
    meant = endpoints.intend(plan_named("demo"))
    endpoints.change(meant.id, state="ending")
    with pytest.raises(UsageError, match="is being ended"):
        endpoints.change(meant.id, state="ready")
    now = datetime.now(UTC)
    first = Receipt("demo", "practice", KIND.name, "us-west-1", now, now, 1, 0.01, "you said so")
    endpoints.end(meant.id, first)
    with pytest.raises(UsageError, match="ended by another"):
        endpoints.change(meant.id, failure="it does not answer")
    endpoints.end(meant.id, Receipt("demo", "practice", KIND.name, "us-west-1", now, now, 9, 0.09, "setup failed"))
    assert endpoints.receipts() == [first]
    assert endpoints.live() == []


def test_an_unknown_name_is_answered_with_the_nearest(endpoints: Endpoints) -> None:
    """`down dmeo` is probably demo."""
    endpoints.intend(plan_named("demo"))
    with pytest.raises(UsageError) as caught:
        endpoints.find("dmeo")
    assert "demo" in caught.value.hint


def test_a_broken_or_newer_record_is_said_plainly(tmp_path: Path) -> None:
    """No traceback for a damaged file, and none for one of a later version."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "endpoints.sqlite3").write_bytes(b"this is no database, it only looks like a file" * 100)
    with pytest.raises(LlamaTuiError, match="cannot be read"):
        Endpoints(folder)
    (folder / "endpoints.sqlite3").unlink()
    Endpoints(folder).close()
    with sqlite3.connect(folder / "endpoints.sqlite3") as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(LlamaTuiError, match="newer llama-tui"):
        Endpoints(folder)


def test_every_endpoint_has_a_local_port_of_its_own(endpoints: Endpoints) -> None:
    """The stable port of `connect` is taken once."""
    first, second = endpoints.intend(plan_named("a")), endpoints.intend(plan_named("b"))
    assert first.local_port != second.local_port
