"""Walk through the real app on the practice cloud, and keep a picture of each screen in assets/.

Run: make pictures. Nothing is rented; the machine is a folder, the server and the weights are real.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Input

from llama_tui.services import Services
from llama_tui.tui.app import LlamaTuiApp
from tests.tui.screen_text import screen_text

ASSETS = Path(__file__).parent.parent / "assets"
SIZE = (100, 30)
WAIT_SECONDS = 120.0


async def walk(pilot: Pilot[None], folder: Path) -> None:
    """Home, launch, confirm, setup, prompt, logs, terminate, receipt."""
    app = pilot.app

    async def until(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():
                await pilot.pause(0.02)

    async def shows(*words: str) -> None:
        try:
            await until(lambda: all(word in screen_text(app) for word in words))
        except TimeoutError:
            raise SystemExit(f"{words} did not come:\n{screen_text(app)}") from None

    def keep(name: str) -> None:
        file = folder / f"{name}.svg"
        file.write_text(app.export_screenshot(title="llama-tui", simplify=True))
        print(file)

    await shows("none yet", "Refresh")
    keep("home")
    await pilot.press("1")
    await shows("cpu_4x_general", "users at once", "F5 Launch")
    keep("launch")
    await pilot.press("f5")
    await shows("Practise with")
    keep("confirm")
    await pilot.press("y")
    await shows("Fetch the weights", "✓ Install")
    keep("setup")
    await shows("llama-tui", "ready")
    await until(lambda: app.screen.__class__.__name__ == "EndpointScreen" or "Open" in screen_text(app))
    if app.screen.__class__.__name__ != "EndpointScreen":
        await pilot.press("enter")
    await until(lambda: app.screen.__class__.__name__ == "EndpointScreen")
    await pilot.pause()
    await pilot.press("ctrl+t")
    app.screen.query_one("#max-tokens", Input).value = "24"
    app.screen.query_one("#temperature", Input).value = "0"
    await pilot.press(*"The capital of France is", "enter")
    await shows("tokens/s")
    keep("prompt")
    await pilot.press("f3")
    await shows("following")
    keep("logs")
    await pilot.press("f8")
    await shows("Terminate")
    keep("terminate")
    await pilot.press("y")
    await shows("is gone", "Close")
    keep("receipt")


async def main() -> None:
    """One walk, in a home of its own."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ASSETS
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        pip_cache = os.environ.get("PIP_CACHE_DIR", f"{Path.home()}/.cache/pip")
        os.environ |= {
            "HOME": home,
            "PIP_CACHE_DIR": pip_cache,
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }
        for name in ("STATE", "CONFIG", "CACHE"):
            os.environ[f"XDG_{name}_HOME"] = f"{home}/{name.lower()}"
        services = Services()
        try:
            async with LlamaTuiApp(services).run_test(size=SIZE) as pilot:
                await walk(pilot, folder)
        finally:
            await services.aclose()


if __name__ == "__main__":
    asyncio.run(main())
