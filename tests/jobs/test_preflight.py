"""What is looked at before money is spent: each line, and what mends it."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from llama_tui.core.capacity import Allowed
from llama_tui.core.plan import Choices, Limits
from llama_tui.jobs.preflight import Check
from llama_tui.services import Services
from tests.hub_server import COMMIT, GATED_REPO, GOOD, GRANTED, OPEN_REPO


async def checked(tmp_path: Path, choices: Choices) -> dict[str, Check]:
    services = Services(state=tmp_path / "state", config=tmp_path / "config.toml")
    try:
        return {one.what: one for one in await services.preflight(choices)}
    finally:
        await services.aclose()


def states(checks: dict[str, Check]) -> dict[str, str]:
    return {what: one.state for what, one in checks.items()}


async def test_everything_is_there(tmp_path: Path, hub_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gated model on the practice cloud, with a token that its licence is granted to."""
    monkeypatch.setenv("HF_TOKEN", GRANTED)
    checks = await checked(tmp_path, Choices(GATED_REPO, "practice", instance_type="gpu_1x_a10"))
    assert set(states(checks).values()) == {"ok"}, checks
    assert list(checks) == [
        "account",
        "size",
        "disk",
        "capacity",
        "image",
        "ssh key",
        "firewall",
        "Hugging Face token",
        "weights",
    ]
    assert "0 machines running" in checks["account"].detail
    assert checks["Hugging Face token"].detail == "valid; it is kim's"
    assert "8,192 tokens of context" in checks["size"].detail
    assert "is added to the account at the launch" in checks["ssh key"].detail


async def test_a_licence_not_granted(tmp_path: Path, hub_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is good, this repository is not: the line names the page that grants it."""
    monkeypatch.setenv("HF_TOKEN", GOOD)
    checks = await checked(tmp_path, Choices("llama-3-8b", "practice"))
    assert {what for what, one in checks.items() if one.state == "failed"} == {"weights"}
    assert f"{hub_server}/{GATED_REPO}" in checks["weights"].fix


async def test_a_gated_model_without_a_token(tmp_path: Path) -> None:
    """Said without asking anybody, with the way to a token."""
    checks = await checked(tmp_path, Choices("llama-3-8b", "practice"))
    assert states(checks)["Hugging Face token"] == "failed"
    assert "llama-tui login hf" in checks["Hugging Face token"].fix


async def test_what_cannot_be_asked_is_unknown_and_not_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network: neither ok nor failed."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("HF_TOKEN", GOOD)
    checks = await checked(tmp_path, Choices("llama-3-8b", "practice"))
    assert states(checks)["Hugging Face token"] == states(checks)["weights"] == "unknown"
    monkeypatch.setenv("LAMBDA_API_KEY", "secret_for_nobody")
    monkeypatch.setenv("LAMBDA_API_URL", "http://127.0.0.1:1")
    assert states(await checked(tmp_path, Choices("llama-3-8b", "lambda")))["account"] == "unknown"


async def test_a_model_that_does_not_fit(tmp_path: Path, hub_server: str) -> None:
    """The type that was asked for is too small, or a context too long: by how much."""
    small = await checked(tmp_path, Choices("llama-3-70b", "practice", instance_type="gpu_1x_a10"))
    assert small["plan"].state == "failed" and "GiB too much" in small["plan"].detail
    nowhere = await checked(tmp_path, Choices("llama-3-8b", "practice", instance_type="gpu_1x_b200_sxm6"))
    assert nowhere["capacity"].state == "failed" and "nowhere to be had" in nowhere["capacity"].detail
    there = await checked(tmp_path, Choices("llama-3-8b", "practice", instance_type="gpu_1x_a10", region="us-west-2"))
    assert there["capacity"].state == "failed" and "it is in" in there["capacity"].fix


async def test_any_repository(tmp_path: Path, hub_server: str) -> None:
    """A repository that the catalogue does not know is sized by its config.json; one that is not there is said."""
    checks = await checked(tmp_path, Choices(OPEN_REPO, "practice", instance_type="gpu_1x_a10"))
    assert set(states(checks).values()) == {"ok"}, checks
    assert "15.0 GiB of weights" in checks["size"].detail
    missing = await checked(tmp_path, Choices("org/nothing", "practice"))
    assert "there is no repository org/nothing" in missing["plan"].detail


async def test_limits_and_image_of_a_rented_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit is worth a note; the guide's pins need an image with an older Python."""
    from llama_tui.practice.process import ensure

    practice = await ensure(tmp_path / "practice")
    monkeypatch.setenv("LAMBDA_API_KEY", practice.key)
    monkeypatch.setenv("LAMBDA_API_URL", practice.url)
    guide = Choices("llama-3-8b", "lambda", instance_type="gpu_1x_a10", profile="guide")
    checks = await checked(tmp_path, guide)
    assert (checks["limits"].state, checks["image"].detail) == ("note", "lambda-stack-22-04, Python 3.10")
    assert (await checked(tmp_path, replace(guide, limits=Limits(usd=5))))["limits"].state == "ok"
    for family, sentence in (
        ("lambda-stack-24-04", "has Python 3.12; the guide's pins have wheels for 3.9 to 3.11"),
        ("lambda-stack-2204", "there is no image for x86_64 called 'lambda-stack-2204'"),
        ("ubuntu-22-04", "brings no GPU driver"),
    ):
        (tmp_path / "config.toml").write_text(f'[lambda]\nimage_family = "{family}"\n')
        image = (await checked(tmp_path, guide))["image"]
        assert image.state == "failed" and sentence in image.detail and image.fix
    (tmp_path / "config.toml").unlink()
    monkeypatch.setenv("LAMBDA_API_KEY", "secret_of_somebody_else")
    wrong = await checked(tmp_path, Choices("llama-3-8b", "lambda"))
    assert wrong["account"].state == "failed"
    assert os.environ["LAMBDA_API_KEY"] not in str(wrong)


async def test_the_same_as_up_would_do(tmp_path: Path, hub_server: str) -> None:
    """Whatever keeps `up` from being a plan is a line here, too; so is a model that the profile cannot load."""
    for chosen in (
        {"allowed": Allowed(max_cents_per_hour=10)},
        {"filesystem": "nosuch"},
        {"name": "Bad Name"},
        {"region": "us-west-9"},
        {"instance_type": "gpu_1x_a11"},
    ):
        checks = await checked(tmp_path, Choices("llama-3-8b", "practice", **chosen))  # type: ignore[arg-type]
        assert checks["plan"].state == "failed" and checks["plan"].fix, checks
    two = Allowed(("gpu_8x_h100_sxm5", "gpu_8x_a100_80gb_sxm4"))
    assert (
        "gpu_8x_a100_80gb_sxm4"
        in (await checked(tmp_path, Choices("llama-3-8b", "practice", allowed=two)))["capacity"].detail
    )
    newer = await checked(tmp_path, Choices("llama-3.1-8b", "practice", instance_type="gpu_1x_a10", profile="guide"))
    assert newer["engine"].state == "failed" and "--profile current" in newer["engine"].fix


async def test_without_a_key_the_rest_is_told_all_the_same(tmp_path: Path) -> None:
    """The account is one line of the list, not the end of it."""
    checks = await checked(tmp_path, Choices("llama-3-8b", "lambda"))
    assert checks["account"].state == "failed" and "llama-tui login lambda" in checks["account"].fix
    assert checks["Hugging Face token"].state == "failed"


async def test_this_computer(tmp_path: Path) -> None:
    """Nothing is rented: the machine itself is looked at."""
    checks = await checked(tmp_path, Choices("smollm2-135m", "local"))
    assert states(checks) == dict.fromkeys(("machine", "size", "disk", "weights"), "ok")


async def test_a_revision_that_is_not_there(tmp_path: Path, hub_server: str) -> None:
    """Before money is spent; one that is there is named by its commit."""
    there = Choices(OPEN_REPO, "practice", instance_type="gpu_1x_h100_sxm5", revision=COMMIT)
    assert "8cde5ca8" in (await checked(tmp_path, there))["weights"].detail
    checks = await checked(tmp_path, Choices(OPEN_REPO, "practice", revision="v9"))
    assert any(one.state == "failed" and "v9" in one.detail for one in checks.values()), checks
    checks = await checked(tmp_path, Choices("smollm2-135m", "practice", revision="v9"))
    assert checks["plan"].detail == "smollm2-135m is on PyPI and has no revisions"
