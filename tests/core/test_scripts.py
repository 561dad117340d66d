"""Whatever runs on a machine is clean POSIX shell: our scripts, and the steps of every plan."""

import subprocess
from pathlib import Path

import pytest

from llama_tui.core.plan import Extras, as_script
from llama_tui.core.sizing import EngineArgs
from tests.core.test_plan import plan_of

pytestmark = pytest.mark.shellcheck
HOST_SCRIPTS = sorted((Path(__file__).parents[2] / "assets" / "host").glob("*.sh"))


def shellcheck(*arguments: str, script: str = "") -> None:
    done = subprocess.run(["shellcheck", *arguments], input=script, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", HOST_SCRIPTS, ids=lambda file: file.name)
def test_host_scripts(file: Path) -> None:
    """assets/host/*.sh: no finding, and short enough to be read before it is trusted."""
    shellcheck(str(file))
    assert len(file.read_text().splitlines()) <= 150


@pytest.mark.parametrize(
    ("model", "profile"),
    [("smollm2-135m", ""), ("org/repo/file.gguf", ""), ("llama-3-8b", "guide"), ("llama-3-70b", "guide"),
     ("llama-3-8b", "current"), ("llama-3.1-405b", "current")],
)  # fmt: skip
def test_plans(model: str, profile: str) -> None:
    """`plan --script` of every engine and profile. A venv's `activate` is not followed: it is not there yet."""
    types = {"llama-3.1-405b": {"engine_args": EngineArgs(max_model_len=1024)}}
    try:
        script = as_script(plan_of(model, profile=profile, **types.get(model, {})))
    except Exception as error:
        if "fits on none" not in str(error):
            raise
        return
    shellcheck("--shell=sh", "--exclude=SC1091", "-", script=script)


@pytest.mark.parametrize(
    "chosen",
    [{"filesystem": "my-data"}, {"extras": Extras("~/my venv", ("--a", "b c"), ("A=b c",))}],
    ids=["filesystem", "extras"],
)
@pytest.mark.parametrize("model", ["llama-3-8b", "~/my models/Llama"])
def test_what_is_handed_through(model: str, chosen: dict) -> None:
    """Names and paths that a person gives stay words. Each step is looked at as it runs: a script of its own."""
    for step in plan_of(model, engine="vllm", instance_type="gpu_1x_a10", **chosen).steps:
        shellcheck("--shell=sh", "-", script=step.script)
