"""Time to ready on the practice cloud, as a ratio to the same steps typed by hand in a shell script.

Wheels and weights are cached for both, in the same caches. Run: python tests/bench/bench_ready.py [PAIRS]
Goal: a ratio of at most 1.2, though ours also boots a machine and connects by SSH.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from llama_tui.core.models import find_model
from llama_tui.engines.llama_cpp import XLLAMACPP

BY_HAND = """
set -eu
python3 -m venv venv
. venv/bin/activate
pip install --progress-bar off {xllamacpp} >setup.log
ln -s {weights} weights.gguf
cat >server.py <<'PY'
import signal, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = "weights.gguf"
params.hostnames = ["127.0.0.1"]
params.port = {port}
params.n_ctx = 8192
server = xllamacpp.Server(params)
signal.sigwait({{signal.SIGTERM}})
PY
python server.py >api_server.log 2>&1 &
echo $! >pid
until curl -sf http://127.0.0.1:{port}/health >/dev/null; do sleep 0.1; done
"""


def by_hand(folder: Path, weights: Path, port: int, environment: dict[str, str]) -> float:
    """Seconds of the script; its server is ended afterwards."""
    folder.mkdir()
    script = BY_HAND.format(xllamacpp=XLLAMACPP, weights=weights, port=port)
    started = time.monotonic()
    subprocess.run(["sh", "-c", script], cwd=folder, env=environment, check=True)
    seconds = time.monotonic() - started
    os.kill(int((folder / "pid").read_text()), signal.SIGTERM)
    return seconds


def ours(name: str, environment: dict[str, str]) -> float:
    """Seconds of `llama-tui up`, process start included; `down` afterwards."""
    command = [sys.executable, "-m", "llama_tui"]
    started = time.monotonic()
    subprocess.run(
        [*command, "up", "-c", "practice", "-m", "smollm2-135m", "-n", name],
        env=environment, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    seconds = time.monotonic() - started
    subprocess.run([*command, "down", name], env=environment, check=True, capture_output=True)
    return seconds


def main() -> None:
    """Print each pair and the ratio of medians."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        pip_cache = subprocess.run(["pip", "cache", "dir"], capture_output=True, text=True).stdout.strip()
        environment = {
            **os.environ,
            "HOME": scratch,
            "XDG_STATE_HOME": f"{scratch}/state",
            "XDG_CACHE_HOME": f"{scratch}/cache",
            "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR") or pip_cache,
        }
        ours("warm", environment)
        gguf = find_model("smollm2-135m").gguf
        assert gguf
        weights = next(home.rglob(gguf.file))
        by_hand(home / "warm", weights, 8400, environment)
        hand, tui = [], []
        for n in range(pairs):
            hand.append(by_hand(home / f"hand-{n}", weights, 8401 + n, environment))
            tui.append(ours(f"ours-{n}", environment))
            print(
                f"pair {n + 1}: by hand {hand[-1]:.2f} s, llama-tui {tui[-1]:.2f} s, ratio {tui[-1] / hand[-1]:.2f}"
            )
        ratio = statistics.median(a / b for a, b in zip(tui, hand, strict=True))
        print(f"median: by hand {statistics.median(hand):.2f} s, llama-tui {statistics.median(tui):.2f} s")
        print(f"ratio, median of pairs: {ratio:.2f} (goal: at most 1.2)")


if __name__ == "__main__":
    main()
