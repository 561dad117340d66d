"""Where limits stand: from the record, and from what a server's own counters say of its requests."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from llama_tui.core.errors import HostUnreachable
from llama_tui.core.interfaces import Address
from llama_tui.core.limits import first_over
from llama_tui.core.plan import Limits
from llama_tui.endpoints import Endpoint, Endpoints
from llama_tui.jobs.limits import limits_of, read_counters, recorded
from llama_tui.jobs.reach import Server
from llama_tui.jobs.rent import LAUNCH_ASKED, LAUNCH_REFUSED
from llama_tui.redact import Secret
from tests.test_endpoints import plan_named

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
VLLM = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="a model"}} {running}
vllm:num_requests_running{{engine="1",model_name="a model"}} 0.0
vllm:num_requests_waiting{{engine="0",model_name="a model"}} 0.0
vllm:num_requests_waiting_by_reason{{engine="0",model_name="a model",reason="capacity"}} 7.0
# TYPE vllm:request_success_total counter
vllm:request_success_total{{engine="0",finished_reason="stop",model_name="a model"}} {done}
vllm:request_success_total{{engine="1",finished_reason="abort",model_name="a model"}} 2.0
vllm:request_success_created{{engine="0",finished_reason="stop",model_name="a model"}} 1.7954051545392334e+09
"""


def vllm(done: int, running: int = 0) -> str:
    return VLLM.format(done=f"{done}.0", running=f"{running}.0")


class Metrics:
    """A server that has /metrics, reached as the real one is."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.text = vllm(0)
        self.status = 200
        self.unreachable = False

    @asynccontextmanager
    async def reach(self, endpoint: Endpoint) -> AsyncIterator[Server]:
        if self.unreachable:
            raise HostUnreachable("no answer from 192.0.2.1")
        yield Server(self.address, Secret(""), "a model")


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(made.status)
            self.end_headers()
            self.wfile.write(made.text.encode())

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    made = Metrics(Address(f"http://127.0.0.1:{server.server_port}"))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def endpoints(tmp_path: Path) -> Endpoints:
    return Endpoints(tmp_path / "state")


def an_endpoint(endpoints: Endpoints, limits: Limits, *, launched: datetime | None = NOON) -> Endpoint:
    """Launched from this computer at noon, and ready."""
    endpoint = endpoints.intend(replace(plan_named("demo"), limits=limits))
    endpoints.note(endpoint.id, LAUNCH_ASKED)
    return endpoints.change(endpoint.id, launched=launched, state="ready", port=8000)


async def idle_over(endpoints: Endpoints, metrics: Metrics, minutes: float) -> bool:
    """Does a look so many minutes after noon find that the idle limit is over?"""
    now = NOON + timedelta(minutes=minutes)
    found = await limits_of(endpoints.find("demo"), endpoints, metrics.reach, now)
    return first_over(found) is not None


def test_counters_of_vllm_and_llama_cpp() -> None:
    """Over all engines; not those that tell when a series was made, nor the same once more by reason."""
    assert read_counters(vllm(5, 1)) == (7, 1)
    llama_cpp = "llamacpp:n_decode_total 12\nllamacpp:requests_processing 1\nllamacpp:requests_deferred 2\n"
    assert read_counters(llama_cpp) == (12, 3)
    assert read_counters("vllm:num_requests_running 0.0\n") == (0, 0), "vLLM 0.4.3 before its first request"
    assert read_counters("process_cpu_seconds_total 5\n") is None
    assert read_counters("vllm:request_success_total what\n") is None
    assert read_counters("<html>") is None


async def test_idle_counts_from_the_last_look_that_saw_work(endpoints: Endpoints, metrics: Metrics) -> None:
    """The same count at two looks is idleness between them; another count, or a request at work, begins anew."""
    an_endpoint(endpoints, Limits(idle_minutes=30))
    assert not await idle_over(endpoints, metrics, 1000)  # the first look knows of nothing before it
    assert not await idle_over(endpoints, metrics, 1029)
    assert await idle_over(endpoints, metrics, 1030)
    metrics.text = vllm(1)
    assert not await idle_over(endpoints, metrics, 1040)
    metrics.text = vllm(1, running=1)
    assert not await idle_over(endpoints, metrics, 1069)
    metrics.text = vllm(1)
    assert not await idle_over(endpoints, metrics, 1098)
    assert await idle_over(endpoints, metrics, 1099)


async def test_the_last_look_is_remembered_by_the_next_process(
    endpoints: Endpoints, metrics: Metrics, tmp_path: Path
) -> None:
    """As `reap` from cron is: each look a process of its own."""
    an_endpoint(endpoints, Limits(idle_minutes=30))
    await idle_over(endpoints, metrics, 0)
    endpoints.close()
    assert await idle_over(Endpoints(tmp_path / "state"), metrics, 31)


async def test_where_idleness_is_not_known_it_ends_nothing(endpoints: Endpoints, metrics: Metrics) -> None:
    """No counters, no answer, no machine, no server yet: said each time, and never a reason to end."""
    endpoint = an_endpoint(endpoints, Limits(idle_minutes=30))
    await idle_over(endpoints, metrics, 0)

    async def unknown() -> str:
        found = await limits_of(endpoints.find("demo"), endpoints, metrics.reach, NOON + timedelta(days=9))
        assert first_over(found) is None
        return found[0].unknown

    metrics.text = "nothing that is known"
    assert await unknown() == "its server has no request counters"
    metrics.status = 404
    assert await unknown() == "its server has no request counters"
    metrics.address = Address("http://127.0.0.1:9")
    assert await unknown() == "its server does not answer"
    metrics.unreachable = True
    assert await unknown() == "no answer from 192.0.2.1"
    endpoints.change(endpoint.id, state="failed")
    assert await unknown() == "its server is not up"


async def test_a_limit_of_the_bill_asks_no_machine(endpoints: Endpoints, metrics: Metrics) -> None:
    """Dollars and hours are judged by the record, also when the machine does not answer."""
    metrics.unreachable = True
    endpoint = an_endpoint(endpoints, Limits(usd=0.10, hours=9, idle_minutes=30))
    found = await limits_of(endpoint, endpoints, metrics.reach, NOON + timedelta(hours=1))
    over = first_over(found)
    assert over and over.why == "its limit of $0.10 was reached"
    assert first_over(recorded(endpoint, endpoints, NOON + timedelta(minutes=28))) is None


async def test_a_launch_whose_answer_was_lost_counts_from_when_it_was_asked_for(endpoints: Endpoints) -> None:
    """A machine may run for it; where the cloud had refused, there is none."""
    endpoint = an_endpoint(endpoints, Limits(hours=1), launched=None)
    later = datetime.now(UTC) + timedelta(hours=1, seconds=5)
    assert first_over(recorded(endpoint, endpoints, later))
    endpoints.note(endpoint.id, LAUNCH_REFUSED)
    assert first_over(recorded(endpoint, endpoints, later)) is None


def test_what_was_not_launched_from_here_is_not_judged(endpoints: Endpoints) -> None:
    """An endpoint of another computer, adopted with its limits: its machine is not ours to end."""
    plan = replace(plan_named("theirs"), limits=Limits(hours=1))
    theirs = endpoints.adopt(Endpoint("a1", "theirs", "lambda", "", "ready", NOON, plan, launched=NOON, port=8000))
    assert recorded(theirs, endpoints, NOON + timedelta(days=9)) == ()


def test_a_limit_stays_when_up_is_given_again_without_it(endpoints: Endpoints) -> None:
    """A limit that is given again replaces the one of its kind, and only that."""
    an_endpoint(endpoints, Limits(usd=5, idle_minutes=30))
    again = endpoints.intend(replace(plan_named("demo"), limits=Limits(usd=9)))
    assert again.plan and again.plan.limits == Limits(usd=9, idle_minutes=30)
