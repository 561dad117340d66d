"""Where a machine may be looked for: the types, regions and prices that a person allows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llama_tui.core.errors import unknown
from llama_tui.core.instances import InstanceType, with_regions


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a person allows besides the first choice. Empty or 0: everything."""

    instance_types: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    """In the order in which they are tried."""
    max_cents_per_hour: int = 0

    @property
    def others(self) -> bool:
        """Another type may be taken where the first is not to be had: they were named, or a price was."""
        return len(self.instance_types) > 1 or bool(self.max_cents_per_hour)


def narrowed(
    kinds: Iterable[InstanceType], allowed: Allowed, without: frozenset[str] = frozenset()
) -> list[InstanceType]:
    """The types that are allowed, each with the allowed regions that have it now, in the person's order.

    `without` are types that have turned out not to be there after all.

    Raises:
        UsageError: a type that the cloud does not know.
    """
    known = {kind.name: kind for kind in kinds}
    for name in allowed.instance_types:
        if name not in known:
            raise unknown("instance type", name, known)
    return [
        with_regions(kind, tuple(one for one in allowed.regions if one in kind.regions)) if allowed.regions else kind
        for kind in known.values()
        if kind.name not in without
        and (not allowed.instance_types or kind.name in allowed.instance_types)
        and (not allowed.max_cents_per_hour or kind.price_cents_per_hour <= allowed.max_cents_per_hour)
    ]
