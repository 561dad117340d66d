"""The keys of a person's own: `[keys]` of config.toml, checked before they are taken over."""

from __future__ import annotations

import difflib
from importlib import import_module

from textual.binding import Binding
from textual.dom import DOMNode

SCREENS = (
    "app.LlamaTuiApp", "screens.home.HomeScreen", "widgets.endpoint_table.EndpointTable",
    "screens.launch.LaunchScreen", "screens.setup.SetupScreen", "screens.endpoint.EndpointScreen",
    "screens.confirm.ConfirmScreen", "screens.quit.QuitScreen",
)  # fmt: skip
"""Whose bindings can be remapped. They are imported only when there is something to remap."""


def bindings() -> dict[str, dict[str, str]]:
    """Screen → binding id → its keys."""
    found: dict[str, dict[str, str]] = {}
    for path in SCREENS:
        module, name = path.rsplit(".", 1)
        node: type[DOMNode] = getattr(import_module(f"llama_tui.tui.{module}"), name)
        found[name] = {one.id: one.key for one in node.BINDINGS if isinstance(one, Binding) and one.id}
    return found


def checked(keys: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """The keymap that can be taken over, and a sentence for each entry that cannot."""
    if not keys:
        return {}, []
    all_of = bindings()
    known = {id for of_screen in all_of.values() for id in of_screen}  # noqa: A001
    keymap: dict[str, str] = {}
    trouble: list[str] = []
    for id, wanted in keys.items():  # noqa: A001
        if id not in known:
            near = difflib.get_close_matches(id, known, n=1, cutoff=0.0)
            trouble.append(f"there is no action {id}; the nearest is {near[0]}")
        elif taken := _taken(id, wanted, all_of, keys):
            trouble.append(f"{id} = {wanted}: the key is taken by {taken}")
        else:
            keymap[id] = wanted
    return keymap, trouble


def _taken(id: str, wanted: str, all_of: dict[str, dict[str, str]], keys: dict[str, str]) -> str:  # noqa: A002
    """The other action that has one of these keys where this one lives too; empty when there is none."""
    for name, of_screen in all_of.items():
        if id not in of_screen and name != "LlamaTuiApp":
            continue
        for other, default in of_screen.items():
            if other != id and _split(wanted) & _split(keys.get(other, default)):
                return other
    return ""


def _split(keys: str) -> set[str]:
    return {key.strip() for key in keys.split(",") if key.strip()}
