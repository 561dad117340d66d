"""Shell that both engines need: look at the machine, start a server, wait until it answers.

A step that must give up prints one line `llama-tui: SENTENCE | WHAT TO DO NEXT` and exits 3 (preflight) or 1;
the client shows that line. Everything runs in the endpoint's folder.
"""

from __future__ import annotations

import shlex

from llama_tui.core.instances import InstanceType
from llama_tui.core.models import Model
from llama_tui.core.plan import Extras, Step

FIRST_PORT = 8000
QUIET_MINUTES = 20
"""How long a server may be neither healthy nor writing to its log before the wait for it ends."""

SAY = """say() { echo "llama-tui: $1 | $2"; exit 3; }"""

_SERVER_LIVES = """\
# A zombie answers to kill -0: its state tells it from a process that lives. A pid may be another's after a reboot:
# ours is at work in this folder, where that can be seen.
server_lives() {
    [ -s api_server.pid ] && ps -p "$(cat api_server.pid)" -o stat= 2>/dev/null | grep -q '^[^Z]' || return 1
    at=$(readlink "/proc/$(cat api_server.pid)/cwd" 2>/dev/null) || at=
    [ -z "$at" ] || [ "$at" = "$(pwd -P)" ]
}"""


def image_family(instance_type: InstanceType, *, python: str) -> str:
    """Lambda's image with that Python; V100 cards want one of their own (lambda-cloud-api.md §4.6, §5.1)."""
    if "V100" in instance_type.description:
        return "lambda-stack-legacy-22-04"
    return {"3.10": "lambda-stack-22-04", "3.12": "lambda-stack-24-04"}[python]


def _choose_port(port: int) -> str:
    """Note in `port` the port that was asked for, or the first free one that no other endpoint noted."""
    last = FIRST_PORT + 999
    ports = f"sorted({{*range({FIRST_PORT}, {last + 1})}} - noted)"
    taken = f"no port from {FIRST_PORT} to {last} is free on this machine"
    if port:
        ports, taken = f"[{port}]", f"port {port} is in use on this machine"
    return f"""\
python3 - <<'PY' >port.new || say "{taken}" "choose another one with --port"
import glob, os, socket, sys
# A server binds long after this: what the other endpoints of this user have noted is theirs.
own = os.path.realpath("port")
noted = {{int(open(file).read() or 0) for file in glob.glob("../*/port") if os.path.realpath(file) != own}}
for port in {ports}:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    sys.exit()
sys.exit(1)
PY
mv port.new port"""


def check(*, systems: str, disk_gib: float, port: int, extra: str = "") -> Step:
    """Is this a machine that can do it: system, python3, free disk, and the port that was asked for.

    `systems` is a pattern of what `uname -s` may say, as `Linux | Darwin`.
    """
    need = int(disk_gib * 1024)
    script = f"""\
{SAY}
case "$(uname -s)" in
{systems}) ;;
*) say "this machine runs $(uname -s), not Linux" "choose a machine with Linux" ;;
esac
command -v python3 >/dev/null ||
    say "there is no python3 on this machine" "install it there: sudo apt-get install -y python3 python3-venv"
free_mib=$(df -Pk . | awk 'NR == 2 {{ print int($4 / 1024) }}')
[ "$free_mib" -ge {need} ] ||
    say "only $free_mib MiB of its disk are free, {need} are needed" "free some there, or take another machine"
"""
    if port:
        script += _choose_port(port) + "\n"
    if extra:
        script += extra.strip() + "\n"
    script += 'echo "$(uname -srm), $(python3 --version), $free_mib MiB free"\n'
    return Step("00-check", "Check the machine", script)


def venv(folder: str) -> str:
    """Make a virtual environment; where Python cannot, say what is missing."""
    return f"""\
{SAY}
python3 -m venv {folder} ||
    say "its python3 cannot make virtual environments" "install it there: sudo apt-get install -y python3-venv"
"""


def host_path(path: str) -> str:
    """A path on the machine as one word of shell; `~/` is the home there."""
    return '"$HOME"/' + shlex.quote(path[2:]) if path.startswith("~/") else shlex.quote(path)


def at(model: Model) -> str:
    """The option of `hf download` and of vLLM that names the model's revision; empty for the main branch."""
    return f" --revision {shlex.quote(model.revision)}" if model.revision else ""


def exports(extras: Extras) -> str:
    """The variables that a person adds, a line each; empty without any."""
    pairs = (given.partition("=") for given in extras.serve_env)
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, _, value in pairs)


def existing_venv(extras: Extras, package: str) -> Step:
    """Use an environment of the machine, as `venv` in the endpoint's folder, if `package` can be imported there."""
    path = host_path(extras.venv)
    show = f"import importlib.metadata, {package}; "
    show += f'print("{package}", getattr({package}, "__version__", "") or importlib.metadata.version("{package}"))'
    script = f"""\
{SAY}
[ -x {path}/bin/python ] || say "there is no bin/python in the folder that --venv names" "is its path right?"
rm -rf venv
ln -s {path} venv
{exports(extras)}venv/bin/python -c '{show}' ||
    say "{package} cannot be imported in the environment" "the lines above in the setup log say why"
"""
    return Step("10-venv", f"Use the environment {extras.venv}", script)


def server(prepare: str, command: str, *, port: int) -> Step:
    """Start `command` in the background if it does not run yet: output to api_server.log, pid to api_server.pid."""
    script = f"""\
{SAY}
{_SERVER_LIVES}
if server_lives; then
    echo "the server runs already, pid $(cat api_server.pid)"
    exit 0
fi
{_choose_port(port)}
# The endpoint's own key: it opens this server and nothing else.
[ -s api_key ] || (umask 077 && od -An -tx1 -N24 /dev/urandom | tr -d ' \\n' >api_key)
{prepare.strip()}
nohup {command} >>api_server.log 2>&1 </dev/null &
echo $! >api_server.pid
echo "started, pid $!, http://127.0.0.1:$(cat port)"
"""
    return Step("90-server", "Start the server", script)


def ready() -> Step:
    """Wait until the server answers, also to its key; a server that dies or falls silent ends the wait.

    The key shows that it is ours: on a port that another server took meanwhile, /health alone would answer too.
    """
    script = f"""\
{_SERVER_LIVES}
healthy() {{
    python3 - "http://127.0.0.1:$(cat port)" <<'PY'
import sys, time, urllib.request
direct = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
key = {{"Authorization": "Bearer " + open("api_key").read()}}
models = urllib.request.Request(sys.argv[1] + "/v1/models", headers=key)
for _ in range(20):  # the Python that asks is up for two seconds, so that asking often is cheap
    try:
        sys.exit(any(direct.open(one, timeout=5).status != 200 for one in (sys.argv[1] + "/health", models)))
    except OSError:
        time.sleep(0.1)
sys.exit(1)
PY
}}
size=-1 quiet=0
until healthy; do
    if ! server_lives; then
        echo "llama-tui: the server died while it started | its last words stand in the server log"
        exit 1
    fi
    now=$(wc -c <api_server.log)
    if [ "$now" -eq "$size" ]; then quiet=$((quiet + 2)); else quiet=0; fi
    size=$now
    if [ "$quiet" -gt {QUIET_MINUTES * 60} ]; then
        echo "llama-tui: the server has been silent for {QUIET_MINUTES} minutes | look at the server log"
        exit 1
    fi
done
echo "http://127.0.0.1:$(cat port)/health answers"
"""
    return Step("99-ready", "Wait until it answers", script)
