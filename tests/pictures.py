"""Walk through the real app as somebody with a Lambda account does, and keep a picture of each screen in assets/.

Run: make pictures. The account is a practice one, at LAMBDA_API_URL: nothing is rented. The app, its requests, SSH,
the keyring, the model server and its weights are real; Hugging Face is a stand-in that knows one gated repository.
"""

import asyncio
import html
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Input

from llama_tui.practice.environment import for_the_process
from llama_tui.practice.process import ensure
from llama_tui.services import Services
from llama_tui.tui.app import LlamaTuiApp
from tests import hub_server
from tests.tui.screen_text import screen_text

ASSETS = Path(__file__).parent.parent / "assets"
SIZE = (100, 30)
WAIT_SECONDS = 120.0
SOLD_OUT = "us-west-1"
"""The first region of the type that is launched lists it, and has none."""
KEYRING = "printf '\\n' | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; exec \"$@\""
"""A Secret Service for one command, on a bus of its own."""


@dataclass
class Walk:
    """One person before the app."""

    pilot: Pilot[None]
    folder: Path
    """Where the pictures go."""
    practice: Path
    """Folder of the practice cloud behind LAMBDA_API_URL."""
    lambda_key: str
    hf_token: str

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():
                await self.pilot.pause(0.02)

    async def shows(self, *words: str) -> None:
        try:
            await self.until(lambda: all(word in screen_text(self.pilot.app) for word in words))
        except TimeoutError:
            raise SystemExit(f"{words} did not come:\n{screen_text(self.pilot.app)}") from None

    def on(self, screen: str) -> bool:
        return type(self.pilot.app.screen).__name__ == screen

    async def opens(self, screen: str) -> None:
        await self.until(lambda: self.on(screen))

    async def keep(self, name: str) -> None:
        await self.pilot.pause()
        picture = self.pilot.app.export_screenshot(title="llama-tui", simplify=True)
        if any(secret in html.unescape(picture) for secret in (self.lambda_key, self.hf_token)):
            raise SystemExit(f"{name}: a secret is in the picture")
        file = self.folder / f"{name}.svg"
        file.write_text(picture)
        print(file, flush=True)

    async def whole(self) -> None:
        """From an app that knows nothing to the receipt."""
        await self.enters_the_key()
        await self.looks_whether_llama_can_be_served()
        await self.launches()
        await self.asks()
        await self.ends_it()

    async def enters_the_key(self) -> None:
        await self.shows("none yet", "Refresh", "needs your API key")
        await self.keep("home")
        await self.pilot.press("k")
        await self.shows("Lambda API key: none", "Hugging Face token: none")
        await self.gives(self.lambda_key, "valid; 0 machines running; ")
        await self.shows("Lambda API key: in")
        await self.keep("credentials")
        await self.pilot.press("escape")
        await self.shows("lambda: nothing else runs in the account")

    async def gives(self, secret: str, answer: str) -> None:
        """Type it; where there is no keyring, say that a file will do."""
        await self.pilot.press(*secret, "enter")
        await self.shows(answer)
        await self.until(lambda: any(words in screen_text(self.pilot.app) for words in ("✓", "may it be kept")))
        if "may it be kept" in screen_text(self.pilot.app):
            await self.pilot.press("tab", "enter")
        await self.shows("✓")

    async def looks_whether_llama_can_be_served(self) -> None:
        """One line fails: the repository is gated, and there is no token. It is entered; nothing fails any more."""
        await self.pilot.press("2")
        await self.shows("cpu_4x_general", "users at once", "F5 Launch")
        await self.pilot.press("down")
        await self.shows("gated:", "gpu_1x_a10")
        await self.keep("launch")
        await self.pilot.press("p")
        await self.shows("✕ ", "there is none, and meta-llama/Meta-Llama-3-8B is gated")
        await self.keep("preflight")
        await self.pilot.press("k")
        await self.shows("Hugging Face token: none")
        await self.gives(self.hf_token, "valid; it is kim's")
        await self.pilot.press("escape")
        await self.shows("valid; it is kim's", "may be downloaded")
        if "✕" in (text := screen_text(self.pilot.app)):
            raise SystemExit(f"something still fails:\n{text}")
        await self.keep("preflight-fixed")
        await self.pilot.press("escape")

    async def launches(self) -> None:
        """The model that a practice machine can serve; the first region that lists a machine has none after all."""
        switches = {"insufficient_capacity": [f"cpu_4x_general {SOLD_OUT}"]}
        (self.practice / "switches.json").write_text(json.dumps(switches))
        await self.opens("LaunchScreen")
        await self.pilot.press("up")
        await self.shows("cpu_4x_general", "users at once")
        await self.pilot.press("f5")
        await self.shows("Rent a machine for smollm2-135m")
        await self.keep("confirm")
        await self.pilot.press("y")
        await self.shows(f"no capacity in {SOLD_OUT}", "launching cpu_4x_general in us-east-1")
        await self.keep("capacity")
        await self.shows("Fetch the weights", "✓ Install")
        await self.keep("setup")

    async def asks(self) -> None:
        await self.shows("llama-tui", "ready")
        await self.until(lambda: self.on("EndpointScreen") or "Open" in screen_text(self.pilot.app))
        if not self.on("EndpointScreen"):
            await self.pilot.press("enter")
        await self.opens("EndpointScreen")
        await self.pilot.pause()
        await self.pilot.press("ctrl+t")
        self.pilot.app.screen.query_one("#max-tokens", Input).value = "2"
        self.pilot.app.screen.query_one("#temperature", Input).value = "0"
        await self.pilot.press(*"The capital of France is", "enter")
        await self.shows("tokens/s")
        await self.keep("prompt")
        await self.pilot.press("f3")
        await self.shows("following")
        await self.keep("logs")

    async def ends_it(self) -> None:
        await self.pilot.press("f8")
        await self.shows("Terminate")
        await self.keep("terminate")
        await self.pilot.press("y")
        await self.shows("is gone", "Close")
        await self.keep("receipt")


async def walk(folder: Path, home: Path) -> None:
    """One walk, in a home of its own."""
    state = home / "practice"
    practice = await ensure(state, linger=1.0, idle=WAIT_SECONDS)
    # Machines have addresses that are only documentation's; where they really are stands where ssh looks for it.
    (home / ".ssh").mkdir(mode=0o700)
    (home / ".ssh" / "config").write_text(f"Include {practice.ssh_config}\n")
    os.environ["LAMBDA_API_URL"] = practice.url
    with hub_server.serving() as hub:
        os.environ["HF_ENDPOINT"] = hub
        services = Services()
        try:
            async with LlamaTuiApp(services).run_test(size=SIZE) as pilot:
                await Walk(pilot, folder, state, practice.key, hub_server.GRANTED).whole()
        finally:
            for left in services.endpoints.live():  # of a walk that was not walked to its end
                await services.terminate(left, lambda event: None)
            await services.aclose()
    async with asyncio.timeout(WAIT_SECONDS):
        while (state / "practice.json").exists():
            await asyncio.sleep(0.1)


def main() -> None:
    """Prepare a home, and where there can be one a keyring; walk in a process of its own, which sees nothing else."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ASSETS).absolute()
    if len(sys.argv) > 2:
        asyncio.run(walk(folder, Path(sys.argv[2])))
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        own = for_the_process(os.environ)  # no key and no token of the person who runs this
        environment = {name: value for name, value in own.items() if not name.startswith("XDG_")}
        environment.setdefault("PIP_CACHE_DIR", f"{Path.home()}/.cache/pip")
        environment |= {"HOME": home, "XDG_RUNTIME_DIR": home, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        command = [sys.executable, "-m", "tests.pictures", str(folder), home]
        if all(map(shutil.which, ("dbus-run-session", "gnome-keyring-daemon"))):
            command = ["dbus-run-session", "--", "sh", "-c", KEYRING, "sh", *command]
        else:
            environment["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
        sys.exit(subprocess.run(command, env=environment, cwd=ASSETS.parent).returncode)


if __name__ == "__main__":
    main()
