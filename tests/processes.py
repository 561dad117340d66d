"""What runs on this computer, on Linux and on macOS."""

import psutil


def _all(*facts: str) -> list[psutil.Process]:
    return list(psutil.process_iter(["pid", *facts]))


def processes_in(folder: str) -> list[str]:
    """Command lines of what runs in a folder."""
    return [
        " ".join(one.info["cmdline"] or [])
        for one in _all("cwd", "cmdline")
        if (one.info["cwd"] or "").startswith(folder)
    ]


def processes_with(*arguments: str) -> list[int]:
    """Processes whose command line has these arguments, in a row."""
    wanted = "\0".join(("", *arguments, ""))
    return [one.pid for one in _all("cmdline") if wanted in "\0".join(("", *(one.info["cmdline"] or []), ""))]


def processes_marked(variable: str, value: str = "") -> list[int]:
    """Processes with a variable in their environment whose value begins so."""
    found = []
    for one in _all("environ"):
        here = one.info["environ"] or {}
        if variable in here and here[variable].startswith(value):
            found.append(one.pid)
    return found


def lives(pid: int) -> bool:
    """A process that is there and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
