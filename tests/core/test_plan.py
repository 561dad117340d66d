"""A plan decides everything before a cent is spent."""

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from llama_tui.core.capacity import Allowed
from llama_tui.core.errors import UsageError
from llama_tui.core.instances import InstanceType
from llama_tui.core.models import find_model
from llama_tui.core.plan import Choices, Plan, as_script, make_plan, summary
from llama_tui.core.sizing import EngineArgs
from llama_tui.engines import engine_for

A10 = InstanceType("gpu_1x_a10", "1x A10 (24 GB PCIe)", 1, 22.0, 30, 200, 1400, 129, regions=("us-west-1",))
A100 = InstanceType("gpu_1x_a100", "1x A100 (40 GB PCIe)", 1, 39.4, 30, 200, 512, 199, regions=("us-east-1",))
H100 = InstanceType("gpu_8x_h100_sxm5", "8x H100 (80 GB SXM5)", 8, 79.2, 208, 1800, 22528, 3192)
CPU = InstanceType("cpu_4x_general", "4x CPU", 0, 0, 4, 16, 100, 20, regions=("us-west-1", "us-east-1"))
TYPES = [H100, A100, A10, CPU]


def plan_of(model: str = "smollm2-135m", **chosen: object) -> Plan:
    choices = Choices(model, "lambda", **chosen)  # type: ignore[arg-type]
    found = find_model(model)
    return make_plan(choices, found, list(TYPES), engine_for(choices.engine, found), rents=True)


def test_the_cheapest_type_that_fits_is_chosen() -> None:
    """Nothing chosen: a small model goes to the cheapest machine, a larger one to the cheapest that holds it."""
    assert plan_of().instance_type.name == "cpu_4x_general"
    assert plan_of("llama-3-8b").instance_type.name == "gpu_1x_a10"
    assert plan_of("llama-3-70b").instance_type.name == "gpu_8x_h100_sxm5"


def test_a_type_with_capacity_comes_before_a_cheaper_one_without() -> None:
    """A machine that nobody can have now is no bargain."""
    model = find_model("llama-3-8b")
    types = [replace(A10, regions=()), A100]
    plan = make_plan(Choices("llama-3-8b", "lambda"), model, types, engine_for("", model), rents=True)
    assert plan.instance_type.name == "gpu_1x_a100"


def test_a_region_narrows_the_types() -> None:
    """With --region, a type that has capacity there is preferred."""
    assert plan_of("llama-3-8b", region="us-east-1").instance_type.name == "gpu_1x_a100"


@pytest.mark.parametrize(
    ("chosen", "sentence", "hint"),
    [
        ({"instance_type": "gpu_1x_h100"}, "no instance type 'gpu_1x_h100'", "did you mean"),
        ({"region": "us-wets-1"}, "no region 'us-wets-1'", "did you mean us-west-1?"),
        ({"name": "My Endpoint"}, "cannot be the name", "small letters"),
        ({"profile": "guide"}, "no profile of llama.cpp", "known"),
        ({"port": 70000}, "70000 is not a port", "--port"),
        ({"engine_args": EngineArgs(max_model_len=32_768)}, "longer than the 8,192", "up to 8192"),
        (
            {"engine": "vllm", "engine_args": EngineArgs(tensor_parallel_size=2)},
            "9 attention heads of",
            "leave --tensor",
        ),
        ({"engine_args": EngineArgs(max_model_len=8)}, "too short to serve", "from 16"),
        ({"engine": "vllm", "instance_type": "cpu_4x_general"}, "does not fit on cpu_4x_general", "llama-tui types"),
    ],
)
def test_what_cannot_be_meant_is_said_with_the_nearest_that_can(chosen: dict, sentence: str, hint: str) -> None:
    """Unknown types, regions, names, profiles and ports: one sentence, one hint, exit code 2."""
    with pytest.raises(UsageError) as caught:
        plan_of(**chosen)
    assert sentence in caught.value.sentence
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("allowed", "sentence", "hint"),
    [
        (Allowed(max_cents_per_hour=10), "no instance type of lambda is allowed at up to $0.10/h", "--max-price"),
        (Allowed(), "no instance type of lambda is allowed", "--type"),
    ],
)
def test_no_type_is_allowed(allowed: Allowed, sentence: str, hint: str) -> None:
    """Nothing is left to choose from: that is said, and not that the model is too large."""
    model = find_model("llama-3-8b")
    with pytest.raises(UsageError) as caught:
        make_plan(Choices("llama-3-8b", "lambda", allowed=allowed), model, [], engine_for("", model), rents=True)
    assert caught.value.sentence == sentence
    assert hint in caught.value.hint


def test_an_unknown_model_names_the_nearest() -> None:
    """A slip of the finger is answered with what was probably meant."""
    with pytest.raises(UsageError, match="no model 'lama-3-8b'") as caught:
        find_model("lama-3-8b")
    assert "llama-3-8b" in caught.value.hint


def test_any_gguf_of_a_repository_is_a_model() -> None:
    """ORG/REPO/FILE.gguf and ORG/REPO:FILE.gguf name a file of a Hugging Face repository."""
    for written in ("bartowski/Llama-GGUF/sub/Q4.gguf", "bartowski/Llama-GGUF:sub/Q4.gguf"):
        model = find_model(written)
        assert (model.repo_id, model.gguf and model.gguf.file) == ("bartowski/Llama-GGUF", "sub/Q4.gguf")
    with pytest.raises(UsageError):
        find_model("bartowski/Llama-GGUF/../../etc/x.gguf")


def test_a_plan_prints_its_price_and_what_happens_on_failure() -> None:
    """The summary holds what a person decides by."""
    rows = dict(summary(plan_of("llama-3-8b", on_failure="terminate")))
    assert rows["price"] == "$1.29/h"
    assert rows["if setup fails"] == "terminate the machine"


def test_a_plan_tells_when_the_first_answer_comes_and_what_it_has_cost_by_then() -> None:
    """Minutes and dollars from the launch on, where a machine is really rented."""
    first = dict(summary(plan_of("llama-3-8b")))["first answer"]
    assert re.fullmatch(r"after about \d+ min and \$0\.\d\d", first)
    assert "first answer" not in dict(summary(replace(plan_of(), cloud="practice")))


@pytest.mark.parametrize("model", ["smollm2-135m", "llama-3-8b", "org/repo/file.gguf"])
@pytest.mark.parametrize("profile", ["", "guide"])
def test_the_script_is_shell(model: str, profile: str) -> None:
    """`plan --script` is one POSIX shell script, for every engine and profile."""
    if profile and model != "llama-3-8b":
        profile = ""
    script = as_script(plan_of(model, profile=profile))
    checked = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr
    assert "set -eu" in script


@pytest.mark.parametrize("profile", ["guide", "current"])
def test_the_script_leaves_no_token_to_the_server(profile: str) -> None:
    """A step is a process of its own, and once the weights are there no step knows where the token's file is."""
    script = as_script(plan_of("llama-3-8b", profile=profile))
    told, server = script.split("\n# 90-", 1)
    assert "unset HF_TOKEN_PATH" in told
    assert "HF_TOKEN" not in server
    assert told.count("\n(\n") == told.count("\n)\n") == len(plan_of("llama-3-8b", profile=profile).steps) - 2


def test_the_script_asks_for_a_token_only_where_one_is_needed(tmp_path: Path) -> None:
    """A gated model wants one, by any path; an open one takes it where it is given."""
    gated, open_ = as_script(plan_of("llama-3-8b")), as_script(plan_of("org/repo/file.gguf"))
    head = gated.split("mkdir -p")[0] + 'echo "$HF_TOKEN_PATH"'
    environment = {"PATH": os.environ["PATH"]}
    refused = subprocess.run(["sh", "-c", head], env=environment, capture_output=True, text=True)
    assert refused.returncode and "put the hf token in a 0600 file" in refused.stderr
    given = {**environment, "HF_TOKEN_PATH": "token"}
    done = subprocess.run(["sh", "-c", head], env=given, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == f"{tmp_path}/token"
    head = open_.split("mkdir -p")[0]
    assert subprocess.run(["sh", "-c", head], env=environment).returncode == 0


def test_the_guide_profile_has_the_guides_pins_and_flags() -> None:
    """Profile `guide` is Lambda's guide: its venv, its four pins, its module, its tensor parallel size."""
    script = as_script(plan_of("llama-3-70b", profile="guide"))
    assert "python3 -m venv Meta-Llama-3-70B" in script
    assert "python3 -m pip install vllm==0.4.3 huggingface-hub==0.23.2 torch==2.3.0 numpy==1.26.4" in script
    assert "python3 -m vllm.entrypoints.openai.api_server" in script
    assert "--model=meta-llama/Meta-Llama-3-70B --tensor-parallel-size 8" in script
    assert any("0.0.0.0" in warning for warning in plan_of("llama-3-70b", profile="guide").warnings)


def test_the_guide_profile_says_that_it_cannot_serve_newer_models() -> None:
    """Llama 3.1 is too new for vLLM 0.4.3: the plan says so before money is spent."""
    warnings = plan_of("llama-3.1-8b", profile="guide").warnings
    assert "cannot load llama-3.1-8b" in warnings[0]
