"""What the engine `vllm` types on a machine, run where it can be run."""

import os
import re
import subprocess
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from llama_tui.core.errors import PreflightFailed, UsageError
from llama_tui.core.instances import InstanceType
from llama_tui.core.models import at_revision, find_model, model_in_folder
from llama_tui.core.plan import Choices, Extras, Serving, as_script, summary
from llama_tui.core.sizing import EngineArgs, Fit
from llama_tui.engines import vllm_current
from llama_tui.engines.steps import SAY
from llama_tui.engines.vllm import Vllm
from llama_tui.services import Services
from tests.core.test_plan import plan_of
from tests.engines.guide_commands import GUIDE


def step(plan, name: str) -> str:
    return next(one.script for one in plan.steps if one.id.endswith(name))


# ---- guide


@pytest.mark.parametrize("model", GUIDE)
def test_the_guides_script_is_the_guide(model: str) -> None:
    """Each of its commands stands in the script, in order: typed as it is, or named with what is done instead."""
    lines = as_script(plan_of(model, profile="guide")).splitlines()
    at = -1
    for command in GUIDE[model]:
        at = next(n for n, line in enumerate(lines) if n > at and command in line)
        typed = lines[at].removesuffix(" ||")
        if typed not in (command, f"( {command}"):
            assert typed == f"# Guide: {command}"
            assert lines[at + 1].startswith("# Here: ")


@pytest.mark.parametrize("model", GUIDE)
def test_whatever_differs_from_the_guide_is_named(model: str) -> None:
    """Every flag, variable and command that the guide does not have stands under a comment that says why."""
    plan = plan_of(model, profile="guide")
    server = step(plan, "server")
    said = " ".join(line for line in server.splitlines() if line.startswith("# Here: "))
    for difference in ("127.0.0.1", "with a key", "port 8000 if it is free", "nohup", "adds to api_server.log"):
        assert difference in said
        assert difference in " ".join(plan.warnings)
    longer = step(plan_of(model, profile="guide", extras=Extras(serve_args=("--enforce-eager",))), "server")
    assert "# Here: more flags than the guide's: --enforce-eager" in longer
    told = plan_of(model, profile="guide", extras=Extras(serve_args=("--enforce-eager",))).warnings
    assert "differs from the guide: more flags, --enforce-eager" in told
    assert "more flags" not in server
    assert "offline and has no token" in step(plan, "weights")


def test_another_machine_than_the_guides_is_named() -> None:
    """The guide takes an A100 or H100 for 8B; what is cheaper and fits is taken all the same, and said."""
    assert "gpu_1x_a10 instead of 1x A100 or H100" in " ".join(plan_of("llama-3-8b", profile="guide").warnings)
    of_the_guide = plan_of("llama-3-8b", profile="guide", instance_type="gpu_1x_a100")
    assert "instead of 1x" not in " ".join(of_the_guide.warnings)


def test_a_rented_machine_comes_with_the_python_that_the_pins_want() -> None:
    """Ubuntu 22.04 for the guide, else 24.04; V100 cards have an image of their own; a setting wins."""
    v100 = InstanceType("gpu_8x_v100", "8x Tesla V100 (16 GB)", 8, 15.7, 92, 448, 6041, 632)
    assert plan_of("llama-3-8b", profile="guide").image_family == "lambda-stack-22-04"
    assert plan_of("llama-3-8b").image_family == "lambda-stack-24-04"
    assert plan_of("llama-3-8b", image_family="gpu-base-24-04").image_family == "gpu-base-24-04"
    assert Vllm().image_family("guide", v100) == "lambda-stack-legacy-22-04"


def test_the_guide_is_refused_by_the_machine_before_it_is_installed() -> None:
    """The pins want Python 3.9-3.11: the first step looks, and the plan says it before a machine is rented."""
    plan = plan_of("llama-3-8b", profile="guide")
    assert "Python 3.9-3.11" in plan.warnings[0]
    assert "(3, 9) <= sys.version_info[:2] <= (3, 11)" in step(plan, "check")
    with pytest.raises(UsageError, match="makes its own environment"):
        plan_of("llama-3-8b", profile="guide", extras=Extras(venv="/opt/vllm"))


def test_the_guide_claims_nothing_of_models_that_nobody_has_tried() -> None:
    """Llama 3 of another repository is loaded; of other architectures it is not known."""
    kind = InstanceType("h100", "1x H100 (80 GB PCIe)", 1, 79.2, 26, 200, 1024, 329)
    for since, said in (("0.4.3", False), ("", False), ("0.5.3", True)):
        model = replace(find_model("llama-3-8b"), repo_id="NousResearch/Meta-Llama-3-8B", since_vllm=since)
        serving = Serving(model, kind, Fit(True), EngineArgs(), "guide", 0, True, Extras())
        assert any("cannot load" in one for one in Vllm().warnings(serving)) == said


# ---- what is handed through


def test_extras_stand_in_the_plan_and_on_the_command_line() -> None:
    """--venv, --serve-arg, --serve-env: seen in the summary, quoted in the script, last on the command line."""
    extras = Extras("~/my venv", ("--override-generation-config", '{"temperature": 0}'), ("A=it's",))
    plan = plan_of("llama-3-8b", extras=extras)
    rows = dict(summary(plan))
    assert rows["environment"] == "~/my venv"
    assert "--override-generation-config" in rows["server flags"]
    assert "ln -s \"$HOME\"/'my venv' venv" in step(plan, "venv")
    server = step(plan, "server")
    assert "venv/bin/python -m vllm.entrypoints.openai.api_server --model meta-llama/Meta-Llama-3-8B" in server
    assert "--override-generation-config '{\"temperature\": 0}' >>api_server.log" in server
    assert """export A='it'"'"'s'\n""" in server
    assert not [one for one in plan.steps if "pip install" in one.script]


@pytest.mark.parametrize(
    ("extras", "sentence"),
    [
        (Extras(venv="venv"), "is not a path on the machine"),
        (Extras(serve_env=("A",)), "no variable with a value"),
        (Extras(serve_env=("A B=1",)), "no variable with a value"),
        (Extras(serve_args=("--api-key=mysecret1234",)), "--api-key is set by the plan"),
        (Extras(serve_args=("--port", "9000")), "--port is set by the plan"),
    ],
)
def test_extras_that_cannot_be_meant_are_refused(extras: Extras, sentence: str) -> None:
    """A relative path or a variable without a value: exit code 2, before anything starts."""
    with pytest.raises(UsageError, match=sentence):
        plan_of("llama-3-8b", extras=extras)


def test_a_folder_on_the_machine_is_a_model() -> None:
    """Nothing is downloaded; it is served under its last part; that its fit is unknown is said."""
    plan = plan_of("~/models/My-Llama", instance_type="gpu_1x_a10")
    assert (plan.name, plan.served_model_name) == ("my-llama", "My-Llama")
    assert "not known" in dict(summary(plan))["memory"]
    assert 'vllm serve "$HOME"/models/My-Llama' in step(plan, "server")
    assert "--served-model-name My-Llama" in step(plan, "server")
    assert "config.json" in step(plan, "check")
    assert plan.secrets == ()
    assert "hf download" not in as_script(plan)


def test_a_machine_without_a_gpu_wants_an_environment_of_ones_own() -> None:
    """Ours installs vLLM for GPUs; an environment that is there may hold a build for CPUs."""
    with pytest.raises(UsageError, match="needs a GPU"):
        plan_of("/srv/model", instance_type="cpu_4x_general")
    plan = plan_of("/srv/model", instance_type="cpu_4x_general", extras=Extras("/opt/vllm"))
    assert "nvidia-smi" not in step(plan, "check")


def run_step(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A step as run.sh runs it, in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "step.sh").write_text(script)
    return subprocess.run(
        ["sh", "-eu", "step.sh"],
        cwd=folder, capture_output=True, text=True, timeout=60, env={**os.environ, **environment},
    )  # fmt: skip


def test_an_environment_is_tried_before_it_is_used(tmp_path: Path) -> None:
    """No such folder, an environment without vLLM, one with it: said, said, linked."""
    venv = tmp_path / "my venv"
    extras = Extras(str(venv), serve_env=(f"PYTHONPATH={tmp_path / 'site'}",))
    script = step(plan_of("llama-3-8b", extras=extras), "venv")
    absent = run_step(script, tmp_path / "endpoint")
    assert absent.returncode == 3
    assert "there is no bin/python" in absent.stdout
    subprocess.run(["python3", "-m", "venv", "--without-pip", venv], check=True)
    empty = run_step(script, tmp_path / "endpoint")
    assert empty.returncode == 3
    assert "vllm cannot be imported" in empty.stdout
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "vllm.py").write_text('__version__ = "0.32.0"\n')
    done = run_step(script, tmp_path / "endpoint")
    assert (done.returncode, done.stdout) == (0, "vllm 0.32.0\n")
    assert (tmp_path / "endpoint" / "venv" / "bin" / "python").exists()


# ---- current


def stand_in(file: Path, script: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.fixture
def endpoint(tmp_path: Path) -> Path:
    """A folder in which uv and hf are scripts: each waits until the other has begun."""
    folder = tmp_path / "endpoint"
    meet = "touch {me}; for _ in $(seq 100); do [ -e {other} ] && break; sleep 0.1; done; [ -e {other} ] || exit 9\n"
    stand_in(folder / "tools/bin/uv", meet.format(me="u", other="h") + 'echo "installing: $*"; exit ${UV_RC:-0}')
    stand_in(folder / "tools/bin/hf", meet.format(me="h", other="u") + 'echo "fetching: $*"; exit ${HF_RC:-0}')
    return folder


def test_weights_come_while_vllm_is_installed(endpoint: Path) -> None:
    """Neither waits for the other's end, and both logs can be read."""
    done = run_step(step(plan_of("llama-3-8b"), "install"), endpoint)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "installing: pip install --python venv/bin/python --torch-backend=auto vllm==0.32.0" in done.stdout
    assert "vLLM is installed" in done.stdout
    assert "the weights are here" in done.stdout
    assert "fetching: download meta-llama/Meta-Llama-3-8B" in (endpoint / "weights.log").read_text()


def test_weights_that_do_not_come_end_the_step(endpoint: Path) -> None:
    """The download fails: its log is shown, the step fails with a sentence, the installation is ended."""
    uv = (endpoint / "tools/bin/uv").read_text().replace("exit ${UV_RC:-0}", "exec sleep 300")
    stand_in(endpoint / "tools/bin/uv", uv.removeprefix("#!/bin/sh\n"))
    began = time.monotonic()
    done = run_step(step(plan_of("llama-3-8b"), "install"), endpoint, HF_RC="7")
    assert done.returncode == 1
    assert "weights: fetching: download" in done.stdout
    assert "llama-tui: the weights could not be downloaded" in done.stdout
    assert time.monotonic() - began < 30


def test_an_installation_that_fails_ends_the_step(endpoint: Path) -> None:
    """An exit status of uv: the step fails with its status, and the download is ended too."""
    hf = (endpoint / "tools/bin/hf").read_text().replace("exit ${HF_RC:-0}", "exec sleep 300")
    stand_in(endpoint / "tools/bin/hf", hf.removeprefix("#!/bin/sh\n"))
    began = time.monotonic()
    done = run_step(step(plan_of("llama-3-8b"), "install"), endpoint, UV_RC="5")
    assert done.returncode == 5
    assert time.monotonic() - began < 30


def test_the_server_of_current_is_offline_and_keeps_what_it_compiles() -> None:
    """No token, no network, no telemetry; the compile cache outlives the endpoint."""
    server = step(plan_of("llama-3-8b"), "server")
    assert "export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 VLLM_API_KEY" in server
    assert re.search(r"export VLLM_CACHE_ROOT=.*\.cache", server)
    assert "HF_TOKEN" not in server


def test_a_filesystem_keeps_what_took_time(endpoint: Path, away_from_home: Path) -> None:
    """Weights, environment, Python and compile cache lie on it; a second machine finds the environment there."""
    plan = plan_of("llama-3-8b", filesystem="shared")
    assert dict(summary(plan))["filesystem"] == "shared"
    assert "is not mounted" in step(plan, "check")
    for name in ("install", "server"):
        assert 'HF_HOME="$kept/huggingface" VLLM_CACHE_ROOT="$kept/vllm"' in step(plan, name)
    kept = away_from_home / "shared" / "llama-tui"
    kept.parent.mkdir()
    stand_in(
        endpoint / "tools/bin/uv", 'for last; do :; done; echo "made $last"; python3 -m venv --without-pip "$last"'
    )
    stand_in(endpoint / "tools/bin/python", "true")
    make = step(plan, "venv").replace("python3 -m venv tools ||", "true ||")
    assert f"made {kept}/vllm-0.32.0" in run_step(make, endpoint).stdout
    assert (endpoint / "venv").resolve() == kept / "vllm-0.32.0"
    again = run_step(make, endpoint)
    assert (again.returncode, again.stdout) == (0, "")


LLAMA_3_8B = b"""{"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 32, "hidden_size": 4096,
"num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256,
"max_position_embeddings": 8192}"""


def test_a_folder_that_can_be_looked_into_is_sized_like_a_repository() -> None:
    """By its config.json it fits where the model of that shape does; a quantized or foreign one is not judged."""
    folder = find_model("/srv/Llama-8B")
    model = model_in_folder(folder, LLAMA_3_8B)
    assert (model.name, model.folder, model.repo_id) == ("llama-8b", "/srv/Llama-8B", "Llama-8B")
    engine = Vllm()
    h100 = InstanceType("h100", "1x H100 (80 GB SXM5)", 1, 79.2, 26, 225, 1000, 0)
    like = engine.fit(find_model("llama-3-8b"), h100, "current", EngineArgs())
    assert engine.fit(model, h100, "current", EngineArgs()) == like
    for config in (b"no json", b"[]", b"{}", LLAMA_3_8B[:-1] + b', "quantization_config": {}}'):
        assert model_in_folder(folder, config) == folder


async def test_a_folder_on_ones_own_machine_is_looked_into(tmp_path: Path) -> None:
    """The plan says it before anything is set up when there is no config.json."""
    services = Services(tmp_path / "state", tmp_path / "config.toml")
    folder = tmp_path / "Llama-8B"
    folder.mkdir()
    choices = Choices(str(folder), "local", engine="vllm")
    with pytest.raises(PreflightFailed, match=r"holds no config\.json"):
        await services.model_for(choices)
    (folder / "config.json").write_bytes(LLAMA_3_8B)
    assert (await services.model_for(choices)).parameters == 8_030_261_248
    await services.aclose()


@pytest.mark.parametrize(("driver", "exit_status"), [("570.148.08", 3), ("580.105.08", 0)])
def test_a_driver_that_is_too_old_is_said_before_the_install(tmp_path: Path, driver: str, exit_status: int) -> None:
    """The wheels are built for CUDA 13: the first step looks, ten paid minutes before the server would fail."""
    stand_in(tmp_path / "bin" / "nvidia-smi", f"echo {driver}")
    look = step(plan_of("llama-3-8b"), "check")
    look = look[look.index("driver=") : look.index('echo "$(uname')]
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = run_step(f"{SAY}\n{look}", tmp_path / "endpoint", PATH=path)
    assert done.returncode == exit_status, done.stdout + done.stderr
    assert ("wants NVIDIA driver 580" in done.stdout) == (exit_status == 3)


def test_the_extra_of_the_package_is_the_release_that_is_installed_on_machines() -> None:
    """`pip install '.[vllm]'` puts the same vLLM beside llama-tui that profile `current` has."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["vllm"] == [vllm_current.VLLM]


@pytest.mark.parametrize("profile", ["current", "guide"])
def test_a_revision_is_downloaded_and_served(profile: str) -> None:
    """A branch, tag or commit of the repository: the server is offline and must ask for the same one."""
    kind = InstanceType("h100", "1x H100 (80 GB PCIe)", 1, 79.2, 26, 200, 1024, 329)
    model = at_revision(find_model("llama-3-8b"), "62bd457")
    serving = Serving(model, kind, Fit(True), EngineArgs(), profile, 0, False, Extras())
    made = {one.id: one.script for one in Vllm().steps(serving)}
    assert sum("Meta-Llama-3-8B --revision 62bd457 --exclude" in script for script in made.values()) == 1
    assert " --revision 62bd457" in made["90-server"]
