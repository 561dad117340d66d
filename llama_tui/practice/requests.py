"""What may be asked of the pretend Lambda, with the limits of the vendor's document (lambda-cloud-api.md §2)."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from llama_tui.practice.refused import invalid

USER_DATA_LIMIT = 1_000_000
"""Bytes of cloud-init user-data."""

Name = Annotated[str, Meta(max_length=64)]
Port = Annotated[int, Meta(ge=1, le=65535)]
T = TypeVar("T")


class Mount(msgspec.Struct):
    """Where a filesystem is to be mounted."""

    mount_point: Annotated[str, Meta(max_length=256, pattern=r"^(/home|/lambda/nfs|/data)[/a-zA-Z0-9-]*$")]
    file_system_id: str


class Tag(msgspec.Struct):
    """A mark on a machine."""

    key: Annotated[str, Meta(max_length=55, pattern=r"^[a-z][a-z0-9:-]+$")]
    value: Annotated[str, Meta(max_length=128)]


class ImageChoice(msgspec.Struct):
    """An image, by `id` or by `family`."""

    id: str = ""
    family: str = ""


class RulesetId(msgspec.Struct):
    """A firewall ruleset."""

    id: str


class LaunchRequest(msgspec.Struct):
    """`POST /instance-operations/launch`."""

    region_name: str
    instance_type_name: str
    ssh_key_names: Annotated[list[str], Meta(min_length=1, max_length=1)]
    file_system_names: list[str] = []
    file_system_mounts: list[Mount] = []
    hostname: Annotated[str, Meta(pattern=r"^[a-z0-9][0-9a-z-]{0,62}$")] | None = None
    name: Name | None = None
    image: ImageChoice | None = None
    user_data: str | None = None
    tags: list[Tag] = []
    firewall_rulesets: list[RulesetId] = []
    quantity: Annotated[int, Meta(ge=1, le=1)] = 1


class RenameRequest(msgspec.Struct):
    """`POST /instances/{id}`."""

    name: Name = ""


class InstanceIds(msgspec.Struct):
    """`POST /instance-operations/restart` and `…/terminate`."""

    instance_ids: list[str]


class AddKeyRequest(msgspec.Struct):
    """`POST /ssh-keys`; without a public key the cloud makes a pair."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    public_key: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None


class CreateFilesystemRequest(msgspec.Struct):
    """`POST /filesystems`."""

    name: Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[a-zA-Z]+[0-9a-zA-Z-]*$")]
    region: str


class FirewallRule(msgspec.Struct):
    """One rule, in requests and in answers."""

    protocol: Literal["tcp", "udp", "icmp", "all"]
    source_network: str
    description: Annotated[str, Meta(max_length=128)]
    port_range: Annotated[list[Port], Meta(min_length=2, max_length=2)] | UnsetType = UNSET


class FirewallRules(msgspec.Struct):
    """`PUT /firewall-rules`: the whole list."""

    data: list[FirewallRule]


def read(body: bytes, into: type[T]) -> T:
    """The request in a body. Raises Refused (`global/invalid-parameters`)."""
    try:
        request = msgspec.json.decode(body, type=into)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise invalid(f"Invalid request data: {error}") from None
    if isinstance(request, LaunchRequest):
        _check_launch(request)
    if isinstance(request, FirewallRules):
        for rule in request.data:
            _check_rule(rule)
    return request


def _check_launch(request: LaunchRequest) -> None:
    if request.image and bool(request.image.id) == bool(request.image.family):
        raise invalid("image: give either id or family")
    if request.user_data and len(request.user_data.encode()) > USER_DATA_LIMIT:
        raise invalid("user_data: more than 1 MB")
    if any(tag.key.startswith("lambda-ai-") for tag in request.tags):
        raise invalid("tags: keys that begin with lambda-ai- are reserved")


def _check_rule(rule: FirewallRule) -> None:
    if (rule.protocol == "icmp") != (rule.port_range is UNSET):
        raise invalid("port_range: required, but for icmp, where it is forbidden")
    if rule.port_range is not UNSET and rule.port_range[0] > rule.port_range[1]:
        raise invalid("port_range: the first port is above the last")
    try:
        rule.source_network = str(ipaddress.IPv4Network(rule.source_network))
    except ValueError:
        raise invalid("source_network: not an IPv4 network") from None
