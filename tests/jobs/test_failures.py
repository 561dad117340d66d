"""What Lambda does when it does not do what it should (lambda-cloud-api.md §7), and what comes of it.

Each is switched on at the practice cloud; requests go over HTTP and SSH as they would to Lambda.
"""

from dataclasses import replace
from typing import Any, Literal

import pytest

from llama_tui.clouds import lambda_api
from llama_tui.core.capacity import Allowed
from llama_tui.core.errors import CloudRefused, LlamaTuiError, NoCapacity, SetupFailed, TooDear
from llama_tui.core.events import Event, Said
from llama_tui.core.instances import Launch
from llama_tui.core.plan import Choices
from llama_tui.endpoints import Endpoint
from llama_tui.jobs.rent import Patience, rent
from llama_tui.services import PATIENCE, Services
from tests.clouds.lambda_account import QUICK as QUICK_RETRY
from tests.jobs.practice_account import QUICK, meant, running, switch
from tests.practice.lambda_http import until

LAUNCH = "POST instance-operations/launch"
TERMINATE = "POST instance-operations/terminate"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between tries, short patience."""
    monkeypatch.setattr(lambda_api, "Retry", lambda: QUICK_RETRY)
    monkeypatch.setitem(PATIENCE, "practice", QUICK)


async def rented(services: Services, patience: Patience = QUICK) -> tuple[Endpoint, str]:
    """An endpoint with its machine, and all that was said on the way."""
    _, endpoint = await meant(services)
    said: list[str] = []

    def emit(event: Event) -> None:
        if isinstance(event, Said):
            said.append(event.text)

    return await rent(endpoint, services.cloud("practice"), services.endpoints, emit, patience), "\n".join(said)


# ---- reads


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 429, "code": "global/rate-limited", "headers": {"Retry-After": "1"}},
        {"status": 429, "code": "global/rate-limited"},
        {"status": 429, "body": ""},
        {"status": 429, "body": "<html>slow down</html>"},
        {"status": 500, "code": "global/unknown"},
        {"status": 502, "body": "<html>Bad gateway</html>"},
        {"status": 503, "code": "provider/internal-unavailable"},
        {"drops": True},
        {"seconds": 0.3},
    ],
    ids=str,
)
async def test_a_read_that_fails_in_passing_is_tried_again(services: Services, answer: dict[str, Any]) -> None:
    """Too many requests in its three flavours, faults of the provider, a broken connection, a slow answer."""
    switch(services, answers=[{"to": "GET instance-types", "times": 2, **answer}])
    assert await services.cloud("practice").instance_types()


@pytest.mark.parametrize(
    ("answer", "sentence", "hint"),
    [
        ({"status": 403, "body": "error code: 1010"}, "HTTP 403", "without a VPN"),
        ({"status": 403, "code": "global/account-inactive"}, "refused to list", ""),
        ({"status": 301, "headers": {"Location": "https://elsewhere.example/api"}}, "has moved", "LAMBDA_API_URL"),
        ({"status": 409, "code": "global/internal-error"}, "refused to list", "try again in a minute"),
        ({"status": 200, "body": "<html>Welcome</html>"}, "not Lambda's API", "LAMBDA_API_URL"),
        ({"status": 503, "code": "provider/internal-unavailable"}, "failed to list", "provider"),
    ],
    ids=str,
)
async def test_a_read_that_fails_for_good_is_an_error_and_not_an_empty_list(
    services: Services, answer: dict[str, Any], sentence: str, hint: str
) -> None:
    """One sentence and the next thing to do."""
    switch(services, answers=[{"to": "GET instances", "times": 0, **answer}])
    with pytest.raises(CloudRefused, match=sentence) as caught:
        await services.account("practice")
    assert hint in caught.value.hint
    switch(services)


# ---- launch


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "global/quota-exceeded"),
        (403, "global/account-inactive"),
        (400, "global/invalid-address"),
        (400, "global/invalid-parameters"),
        (404, "global/object-does-not-exist"),
        (400, "global/object-does-not-exist"),
        (400, "instance-operations/launch/file-system-in-wrong-region"),
    ],
)
async def test_a_refused_launch_leaves_nothing(services: Services, status: int, code: str) -> None:
    """The vendor's code is kept, no machine is there, the name is free, and nothing was tried twice."""
    plan, _ = await meant(services)
    switch(services, answers=[{"to": LAUNCH, "status": status, "code": code}])
    with pytest.raises(CloudRefused) as caught:
        await services.deploy(plan, lambda _: None)
    assert caught.value.code == code
    assert await running(services) == []
    assert services.endpoints.live() == []


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 500, "code": "global/unknown"},
        {"status": 502, "body": "<html>Bad gateway</html>"},
        {"status": 503, "code": "provider/internal-unavailable"},
        {"drops": True},
    ],
    ids=str,
)
async def test_a_launch_whose_answer_says_nothing_is_looked_for(services: Services, answer: dict[str, Any]) -> None:
    """It may have happened: here it has, and its machine is taken, not a second one."""
    switch(services, answers=[{"to": LAUNCH, "done": True, **answer}])
    endpoint, said = await rented(services)
    assert "the answer to the launch was lost" in said
    assert [one.id for one in await running(services)] == [endpoint.instance and endpoint.instance.id]


async def test_a_launch_that_came_too_soon_is_asked_for_again_at_its_pace(services: Services) -> None:
    """429 on a launch says that nothing was launched: after the pause that it names one machine comes of it."""
    switch(services, answers=[{"to": LAUNCH, "status": 429, "times": 2, "headers": {"Retry-After": "0.1"}}])
    endpoint, _ = await rented(services)
    assert [one.id for one in await running(services)] == [endpoint.instance and endpoint.instance.id]


async def test_a_launch_that_comes_too_soon_time_and_again_is_given_up(services: Services) -> None:
    """Something else uses the account's key: that is said."""
    plan, _ = await meant(services)
    switch(services, seconds_between_launches=30)
    await services.cloud("practice").launch(Launch("first", "cpu_4x_general", "us-west-1"))
    with pytest.raises(CloudRefused) as caught:
        await services.deploy(plan, lambda _: None)
    assert caught.value.status == 429
    assert [one.name for one in await running(services)] == ["first"]


async def test_capacity_that_is_gone_between_the_list_and_the_launch(services: Services) -> None:
    """The list is advisory: the launch says that there is none, and where the list has it now."""
    plan, _ = await meant(services)
    switch(services, insufficient_capacity=["cpu_4x_general"], listed={"cpu_4x_general": ["us-south-1"]})
    with pytest.raises(NoCapacity) as caught:
        await services.deploy(plan, lambda _: None)
    assert caught.value.exit_code == 4
    offered = next(one for one in await services.cloud("practice").instance_types() if one.name == "cpu_4x_general")
    assert offered.regions == ("us-south-1",)


async def test_a_region_that_is_not_listed_may_have_one(services: Services) -> None:
    """A region that a person names is asked, listed or not."""
    switch(services, listed={"cpu_4x_general": []})
    cloud = services.cloud("practice")
    id_ = await cloud.launch(Launch("unlisted", "cpu_4x_general", "us-west-1"))
    assert [one.id for one in await running(services)] == [id_]


async def test_a_price_that_is_not_the_listed_one_is_said_and_counted(services: Services) -> None:
    """What the account says that the machine costs is what is counted."""
    switch(services, price_at_launch={"cpu_4x_general": 35})
    endpoint, said = await rented(services)
    assert "it costs $0.35/h, not $0.20/h" in said
    assert endpoint.price_cents_per_hour == 35


@pytest.mark.parametrize("on_failure", ["keep", "terminate"])
async def test_a_machine_that_costs_more_than_is_allowed_is_ended(
    services: Services, on_failure: Literal["keep", "terminate"]
) -> None:
    """`--max-price` holds for the machine that comes, not only for the list; the receipt has its real price."""
    switch(services, price_at_launch={"cpu_4x_general": 3500})
    choices = Choices(
        "smollm2-135m", "practice", name="demo", on_failure=on_failure, allowed=Allowed(max_cents_per_hour=50)
    )
    with pytest.raises(TooDear, match=r"costs \$35.00/h, and no more than \$0.50/h is allowed") as caught:
        await services.deploy(await services.plan(choices), lambda _: None)
    assert "the machine was ended" in caught.value.hint
    assert await running(services) == []
    assert services.endpoints.receipts()[-1].usd >= 0.58


# ---- on the way up


async def test_a_machine_that_is_not_shown_at_first(services: Services) -> None:
    """The account shows it some reads after the launch: it is waited for, and not launched again."""
    switch(services, hidden_reads=4)
    endpoint, _ = await rented(services)
    assert [one.id for one in await running(services)] == [endpoint.instance and endpoint.instance.id]


async def test_a_machine_that_is_not_shown_at_first_and_whose_answer_was_lost(services: Services) -> None:
    """Both at once: it is found by its name once the account shows it."""
    switch(services, hidden_reads=3, answers=[{"to": LAUNCH, "done": True, "drops": True}])
    endpoint, _ = await rented(services)
    switch(services)
    assert [one.id for one in await running(services)] == [endpoint.instance and endpoint.instance.id]


@pytest.mark.parametrize("boot", ["unhealthy", "preempted", "terminated", "stuck"])
@pytest.mark.parametrize("absent", [[], ["ip"]], ids=["with-ip", "without-ip"])
async def test_a_boot_that_fails_is_an_error_with_its_cause(services: Services, boot: str, absent: list[str]) -> None:
    """It ends as soon as it is certain, or when nothing has changed for too long."""
    switch(services, boot=boot, absent=absent)
    with pytest.raises(SetupFailed, match=r"came up|did not come up|is gone") as caught:
        await rented(services)
    assert caught.value.hint


async def test_sshd_may_come_after_active(services: Services) -> None:
    """Ready means that SSH answers, not `active`."""
    switch(services, seconds_to_ssh=1.0)
    endpoint, _ = await rented(services)
    assert endpoint.instance and endpoint.instance.status == "active"


async def test_sshd_that_never_comes_is_said_to_be_that(services: Services) -> None:
    """Active, and port 22 closed."""
    switch(services, seconds_to_ssh=3600)
    with pytest.raises(SetupFailed, match=r"did not come up: .*203\.0\.113\."):
        await rented(services)


async def test_an_sshd_that_refuses_our_key(services: Services) -> None:
    """The key did not get onto the machine: the error says that, not that the machine is unreachable."""
    switch(services, refuses_keys=True)
    with pytest.raises(LlamaTuiError, match=r"(?i)key|log in"):
        await rented(services)


async def test_fields_that_are_null_or_absent_or_new(services: Services) -> None:
    """Only what is needed is read, and what is unknown is let be."""
    odd = {"private_ip": None, "hostname": None, "tags": None, "file_system_names": None, "is_new": {"very": [1]}}
    switch(services, shown=odd, absent=["jupyter_token", "jupyter_url", "actions", "is_reserved"])
    await rented(services)


async def test_a_status_that_nobody_knows_is_waited_out(services: Services) -> None:
    """A word that Lambda has yet to invent is shown as it is, and is no end."""
    switch(services, shown={"status": "defragmenting"})
    endpoint, _ = await rented(services)
    assert endpoint.instance and endpoint.instance.status == "defragmenting"


async def test_an_api_that_fails_while_a_machine_boots_is_asked_again(services: Services) -> None:
    """The machine boots on, and costs: it is not given up for a fault of the API."""
    broken = {"status": 503, "code": "provider/internal-unavailable", "times": QUICK_RETRY.tries}
    switch(services, answers=[{"to": "GET instances/", **broken}])
    _, said = await rented(services)
    assert "asking again" in said


@pytest.mark.parametrize(
    ("programs", "engine", "sentence"),
    [
        ({"nvidia-smi": "echo NVIDIA A10, 23028 MiB, 590.48.01"}, "vllm", "CUDA does not work"),
        ({"df": "echo x; echo /dev/vda1 1 1 1024 100% /"}, "llama.cpp", "1 MiB of its disk are free"),
    ],
    ids=["cuda", "disk"],
)
async def test_a_machine_that_cannot_serve_is_found_out_at_once(
    services: Services, programs: dict[str, str], engine: str, sentence: str
) -> None:
    """A clean nvidia-smi over a CUDA that does not work, and a full disk: before anything is installed."""
    switch(services, programs=programs)
    plan, _ = await meant(services, instance_type="gpu_1x_a10", engine=engine, on_failure="terminate")
    with pytest.raises(SetupFailed, match=sentence) as caught:
        await services.deploy(plan, lambda _: None)
    assert caught.value.exit_code == 5  # 3 would say that nothing was spent
    assert await running(services) == []


# ---- on the way down


async def test_a_machine_that_does_not_hear_is_asked_again(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted, and nothing happens: the receipt comes when the account no longer lists it, not before."""
    from llama_tui.jobs import terminate

    monkeypatch.setattr(terminate, "ASK_AGAIN_SECONDS", 0.2)
    endpoint, _ = await rented(services)
    switch(services, deaf_terminates=2)
    await services.terminate(endpoint, lambda _: None)
    assert await running(services) == []
    assert services.endpoints.noted(endpoint.id, "gone")


@pytest.mark.parametrize(
    "answer",
    [{"status": 500, "code": "global/unknown"}, {"status": 502, "body": "<html>"}, {"drops": True}],
    ids=str,
)
async def test_an_answer_to_terminate_that_says_nothing(services: Services, answer: dict[str, Any]) -> None:
    """Lambda answers `global/unknown` for a machine that is ending already; what counts is what the account lists."""
    endpoint, _ = await rented(services)
    switch(services, answers=[{"to": TERMINATE, "done": True, **answer}])
    assert (await services.terminate(endpoint, lambda _: None)).minutes == 1
    assert await running(services) == []


async def test_a_machine_that_somebody_ended_in_the_console(services: Services) -> None:
    """The next `up` says that it is gone; `down` is done at once, with a receipt."""
    endpoint, _ = await rented(services)
    assert endpoint.instance
    cloud = services.cloud("practice")
    await cloud.terminate(endpoint.instance.id)

    async def gone() -> bool:
        return await cloud.instance(endpoint.instance.id) is None  # type: ignore[union-attr]

    await until(gone)
    assert endpoint.plan
    with pytest.raises(SetupFailed, match="is gone"):
        await services.deploy(replace(endpoint.plan, on_failure="keep"), lambda _: None)
    assert (await services.terminate(services.endpoints.find("demo"), lambda _: None)).minutes == 1


async def test_a_machine_of_the_same_name_that_is_not_ours_is_left_alone(services: Services) -> None:
    """Ours is known by its id: another one that bears even its name runs on."""
    endpoint, _ = await rented(services)
    cloud = services.cloud("practice")
    other = await cloud.launch(Launch(endpoint.instance_name, "cpu_4x_general", "us-west-1"))
    await services.terminate(endpoint, lambda _: None)
    assert [one.id for one in await running(services)] == [other]


async def test_a_machine_that_falls_ill_while_it_serves_can_be_ended(services: Services) -> None:
    """`unhealthy` goes on costing until it is ended."""
    endpoint, _ = await rented(services)
    switch(services, shown={"status": "unhealthy"})
    assert [one.status for one in await running(services)] == ["unhealthy"]
    switch(services)
    await services.terminate(endpoint, lambda _: None)
    assert await running(services) == []


# ---- secrets


async def test_tokens_of_other_services_stay_in_the_account(services: Services) -> None:
    """Lambda's answers carry a token of Jupyter: no file of ours, no event, no error has it."""
    events: list[Event] = []
    _, endpoint = await meant(services)
    cloud = services.cloud("practice")
    endpoint = await rent(endpoint, cloud, services.endpoints, events.append, QUICK)

    async def active() -> bool:
        return (await cloud.instance(endpoint.instance.id)).status == "active"  # type: ignore[union-attr]

    await until(active)
    listed = await cloud.instances()
    receipt = await services.terminate(endpoint, events.append)
    practice = services.state / "practice"
    ours = [file for file in services.state.rglob("*") if file.is_file() and practice not in file.parents]
    kept = b"".join(file.read_bytes() for file in ours)
    assert ours and b"practice-jupyter-token" not in kept
    assert "practice-jupyter-token" not in repr((events, listed, receipt))
