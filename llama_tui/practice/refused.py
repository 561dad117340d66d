"""How the pretend Lambda says no: the vendor's codes and statuses (lambda-cloud-api.md §3)."""

from __future__ import annotations


class Refused(Exception):
    """The API says no. `retry_after` is in seconds; 0: it does not tell."""

    def __init__(
        self, status: int, code: str, message: str, suggestion: str = "", *, retry_after: float = 0.0
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"code": code, "message": message, **({"suggestion": suggestion} if suggestion else {})}
        self.retry_after = retry_after


def invalid(message: str) -> Refused:
    """A request whose parameters make no sense."""
    return Refused(400, "global/invalid-parameters", message)


def missing(what: str, status: int = 404) -> Refused:
    """A request that names something that is not there."""
    message = f"Specified {what} does not exist."
    return Refused(status, "global/object-does-not-exist", message, "Check the name or id and try again.")


def insufficient_capacity() -> Refused:
    """There is none of these machines now."""
    return Refused(
        400,
        "instance-operations/launch/insufficient-capacity",
        "Not enough capacity to fulfill launch request.",
        "Choose an instance type with more availability, or try again later.",
    )
