"""The pretend account: what is launched, how it comes up and goes, and what is refused (lambda-cloud-api.md §7).

Machines are on disk (machine.json), so that a killed practice process takes them up again.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_tui.practice import catalogue

if TYPE_CHECKING:
    from llama_tui.practice.machines import Machine

MOUNT_POINT = re.compile(r"^(/home|/lambda/nfs|/data)[//a-zA-Z0-9-]*$")
TAG_KEY = re.compile(r"^[a-z][a-z0-9-:]+$")
HOSTNAME = re.compile(r"^[a-z0-9][0-9a-z-]{0,62}$")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from one state of a machine to the next. Practice is for trying, so they are short."""

    ip: float = 0.1
    ssh: float = 0.0
    active: float = 0.3
    terminating: float = 0.3
    terminated: float = 0.3


class Refused(Exception):
    """The API says no."""

    def __init__(self, status: int, code: str, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.error = {"code": code, "message": message, **({"suggestion": suggestion} if suggestion else {})}


def invalid(message: str) -> Refused:
    """A request whose parameters make no sense."""
    return Refused(400, "global/invalid-parameters", message)


def missing(what: str, status: int = 404) -> Refused:
    """A request that names something that is not there."""
    return Refused(status, "global/object-does-not-exist", f"Specified {what} does not exist.")


@dataclass(frozen=True, slots=True)
class Switches:
    """Failures on demand, from switches.json in the practice folder; it is read anew when it changes."""

    insufficient_capacity: tuple[str, ...] = ()
    """`TYPE` or `TYPE REGION`: listed as available, refused at launch."""
    lost_launch_answers: int = 0
    """So many launches happen, and their answer never arrives."""
    boot: str = ""
    """`stuck`: booting for ever; `unhealthy`: comes up so."""
    strangers: int = 0
    """So many machines in the account that somebody else has launched."""


class Account:
    """One account and all that is in it."""

    def __init__(self, folder: Path, timing: Timing) -> None:
        self.ssh_keys: list[dict[str, str]] = []
        self.filesystems: list[dict[str, Any]] = []
        self.firewall_rules: list[dict[str, Any]] = [
            {"protocol": "icmp", "source_network": "0.0.0.0/0", "description": "Allow ICMP from anywhere"},
            {
                "protocol": "tcp",
                "port_range": [22, 22],
                "source_network": "0.0.0.0/0",
                "description": "Allow SSH from anywhere",
            },
        ]
        self.had_machines = False
        self._folder = folder
        self._timing = timing
        self._instances: dict[str, dict[str, Any]] = {}
        self._machines: dict[str, Machine] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._switches = Switches()
        self._switches_read = 0.0
        self._answers_lost = 0
        self._account_file = folder / "account.json"

    # ---- on disk

    async def take_up(self) -> None:
        """Go on with the machines of an earlier practice process."""
        if self._account_file.exists():
            kept = json.loads(self._account_file.read_text())
            self.ssh_keys, self.filesystems = kept["ssh_keys"], kept["filesystems"]
        for file in sorted((self._folder / "machines").glob("*/machine.json")):
            try:
                instance = json.loads(file.read_text())
            except ValueError:
                continue
            self._instances[instance["id"]] = instance
            self.had_machines = True
            machine = self._machine(instance)
            if instance["status"] in ("terminating", "terminated"):
                self._go(self._end(instance, machine))
            else:
                self._go(self._boot(instance, machine, again=True))

    def save(self) -> None:
        """Keep keys and filesystems."""
        _write(self._account_file, {"ssh_keys": self.ssh_keys, "filesystems": self.filesystems})

    def _keep(self, instance: dict[str, Any]) -> None:
        _write(self._folder / "machines" / instance["id"] / "machine.json", instance)

    def switches(self) -> Switches:
        """The failures that are switched on now."""
        file = self._folder / "switches.json"
        changed = file.stat().st_mtime if file.exists() else 0.0
        if changed != self._switches_read:
            given = json.loads(file.read_text()) if changed else {}
            given["insufficient_capacity"] = tuple(given.get("insufficient_capacity", ()))
            self._switches, self._switches_read, self._answers_lost = Switches(**given), changed, 0
        return self._switches

    def lose_this_answer(self) -> bool:
        """Is the answer to this launch one that never arrives?"""
        if self._answers_lost < self.switches().lost_launch_answers:
            self._answers_lost += 1
            return True
        return False

    # ---- instances

    def instances(self) -> list[dict[str, Any]]:
        """Everything that the account lists."""
        strangers = [_stranger(n) for n in range(self.switches().strangers)]
        return [*map(_shown, self._instances.values()), *strangers]

    def instance(self, id: str) -> dict[str, Any]:  # noqa: A002
        """One of them. Raises Refused."""
        return _shown(self._find(id))

    def _find(self, id: str) -> dict[str, Any]:  # noqa: A002
        if id not in self._instances:
            raise missing("instance")
        return self._instances[id]

    def idle(self) -> bool:
        """Nothing is launched, or everything is gone."""
        return not self._instances

    def launch(self, asked: dict[str, Any]) -> str:
        """Launch a machine; returns its id. Raises Refused."""
        kind, region, key = self._checked(asked)
        short = self.switches().insufficient_capacity
        if region not in catalogue.CAPACITY[kind] or kind in short or f"{kind} {region}" in short:
            raise Refused(
                400,
                "instance-operations/launch/insufficient-capacity",
                "Not enough capacity to fulfill launch request.",
                "Choose an instance type with more availability, or try again later.",
            )
        id_ = secrets.token_hex(16)
        instance = {
            "id": id_,
            "name": asked.get("name", ""),
            "status": "booting",
            "launched": time.time(),
            "number": 2 + len(self._instances),
            "ssh_key_names": [key["name"]],
            "public_keys": [key["public_key"]],
            "file_system_names": asked.get("file_system_names") or [],
            "region": catalogue.region(region),
            "instance_type": catalogue.INSTANCE_TYPES[kind],
            "tags": asked.get("tags") or [],
        }
        used = {other["number"] for other in self._instances.values()}
        instance["number"] = next(n for n in range(2, 255) if n not in used)
        self._instances[id_] = instance
        self.had_machines = True
        self._keep(instance)
        self._go(self._boot(instance, self._machine(instance)))
        return id_

    def _checked(self, asked: dict[str, Any]) -> tuple[str, str, dict[str, str]]:
        for field in ("region_name", "instance_type_name", "ssh_key_names"):
            if field not in asked:
                raise invalid(f"{field} was not provided.")
        if int(asked.get("quantity", 1)) > 1:
            raise invalid("quantity: Input should be less than or equal to 1")
        if len(asked["ssh_key_names"]) != 1:
            raise invalid("ssh_key_names: exactly one key must be specified.")
        if len(asked.get("name") or "") > 64:
            raise invalid("name: at most 64 characters.")
        if asked.get("hostname") and not HOSTNAME.match(asked["hostname"]):
            raise invalid("hostname: not a host name.")
        if len(asked.get("user_data") or "") > 1_000_000:
            raise invalid("user_data: at most 1 MB.")
        for tag in asked.get("tags") or []:
            if not TAG_KEY.match(tag["key"]) or len(tag["key"]) > 55 or len(tag["value"]) > 128:
                raise invalid(f"tags: {tag['key']} is not a tag.")
            if tag["key"].startswith("lambda-ai-"):
                raise invalid("tags: lambda-ai- is reserved.")
        for mount in asked.get("file_system_mounts") or []:
            if not MOUNT_POINT.match(mount["mount_point"]) or len(mount["mount_point"]) > 256:
                raise invalid("file_system_mounts: not a mount point.")
        kind, region = asked["instance_type_name"], asked["region_name"]
        if kind not in catalogue.INSTANCE_TYPES:
            raise missing("instance type", 400)
        if region not in catalogue.REGIONS:
            raise invalid(f"region_name: {region} is not a region.")
        key = next((one for one in self.ssh_keys if one["name"] == asked["ssh_key_names"][0]), None)
        if key is None:
            raise missing("SSH key", 400)
        self._check_image(asked.get("image"), region, catalogue.INSTANCE_TYPES[kind]["architecture"])
        for name in asked.get("file_system_names") or []:
            filesystem = next((one for one in self.filesystems if one["name"] == name), None)
            if filesystem is None:
                raise missing("filesystem", 400)
            if filesystem["region"]["name"] != region:
                raise Refused(
                    400,
                    "instance-operations/launch/file-system-in-wrong-region",
                    f"Filesystem {name} is not in {region}.",
                )
        return kind, region, key

    def _check_image(self, image: dict[str, str] | None, region: str, architecture: str) -> None:
        if not image:
            return
        if len(image) != 1 or not image.keys() <= {"id", "family"}:
            raise invalid("image: give an id or a family.")
        (field, wanted), *_ = image.items()
        fitting = [
            one
            for one in catalogue.images()
            if one[field] == wanted and one["region"]["name"] == region and one["architecture"] == architecture
        ]
        if not fitting:
            raise missing("image", 400)

    def terminate(self, ids: list[str]) -> list[dict[str, Any]]:
        """End machines. Raises Refused when one is not there."""
        found = [self._find(id_) for id_ in ids]
        for instance in found:
            if instance["status"] not in ("terminating", "terminated"):
                instance["status"] = "terminating"
                self._keep(instance)
                self._go(self._end(instance, self._machines[instance["id"]]))
        return [_shown(instance) for instance in found]

    def restart(self, ids: list[str]) -> list[dict[str, Any]]:
        """Restart machines: SSH goes for a moment, disk and address stay. Raises Refused."""
        found = [self._find(id_) for id_ in ids]
        for instance in found:
            self._go(self._reopen(self._machines[instance["id"]]))
        return [_shown(instance) for instance in found]

    def rename(self, id: str, name: str) -> dict[str, Any]:  # noqa: A002
        """Give a machine another name. Raises Refused."""
        if not isinstance(name, str) or len(name) > 64:
            raise invalid("name: at most 64 characters.")
        instance = self._find(id)
        instance["name"] = name
        self._keep(instance)
        return _shown(instance)

    # ---- life

    def _machine(self, instance: dict[str, Any]) -> Machine:
        # asyncssh takes long to load: the API answers while it does (`__main__` begins with it).
        from llama_tui.practice.machines import Machine

        folder = self._folder / "machines" / instance["id"]
        machine = Machine(instance["id"], folder, self._folder / "cache", instance["public_keys"])
        self._machines[instance["id"]] = machine
        return machine

    def _go(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _boot(self, instance: dict[str, Any], machine: Machine, *, again: bool = False) -> None:
        mode = "" if again and instance["status"] != "booting" else self.switches().boot
        if not again:
            await asyncio.sleep(self._timing.ip)
        instance["ip"] = f"203.0.113.{instance['number']}"
        self._keep(instance)
        if mode:
            # Its sshd never comes up.
            await asyncio.sleep(self._timing.active)
            instance["status"] = "booting" if mode == "stuck" else "unhealthy"
            self._keep(instance)
            return
        if not again:
            await asyncio.sleep(self._timing.ssh)
        await machine.open_ssh()
        self._write_ssh_config()
        if not again:
            await asyncio.sleep(self._timing.active)
        if instance["status"] == "booting":
            instance["status"] = "active"
            self._keep(instance)

    async def _end(self, instance: dict[str, Any], machine: Machine) -> None:
        await asyncio.gather(machine.end(), asyncio.sleep(self._timing.terminating))
        instance["status"] = "terminated"
        self._write_ssh_config()
        await asyncio.sleep(self._timing.terminated)
        self._instances.pop(instance["id"], None)
        self._machines.pop(instance["id"], None)

    async def _reopen(self, machine: Machine) -> None:
        await machine.close_ssh()
        await asyncio.sleep(self._timing.ssh)
        await machine.open_ssh()

    def _write_ssh_config(self) -> None:
        """Say where each machine's address really is: a port of this computer."""
        blocks = [
            f"Host {instance['ip']}\n  HostName 127.0.0.1\n  Port {self._machines[id_].port}\n"
            for id_, instance in self._instances.items()
            if "ip" in instance and self._machines[id_].port
        ]
        _write_text(self._folder / "ssh_config", "".join(blocks))


def _shown(instance: dict[str, Any]) -> dict[str, Any]:
    """An instance as the API shows it (§2.1); what only a running machine has is absent before."""
    status, id_ = instance["status"], instance["id"]
    reason = {"booting": "vm-has-not-launched", "terminating": "vm-is-terminating", "terminated": "vm-is-terminating"}
    action: dict[str, Any] = {"available": status not in reason}
    if status in reason:
        action |= {"reason_code": reason[status], "reason_description": "The instance is not running."}
    hidden = {"launched", "number", "public_keys"}
    shown = {name: value for name, value in instance.items() if name not in hidden}
    # A machine that boots can be terminated.
    shown["actions"] = dict.fromkeys(("migrate", "rebuild", "restart", "cold_reboot"), action)
    shown["actions"]["terminate"] = {"available": True} if status == "booting" else action
    shown["is_reserved"] = False
    if status in ("active", "unhealthy"):
        token = f"practice-jupyter-token-{id_}"
        shown |= {
            "hostname": instance["ip"].replace(".", "-"),
            "private_ip": f"10.0.0.{instance['number']}",
            "jupyter_token": token,
            "jupyter_url": f"https://jupyter-{id_}.lambdaspaces.com/?token={token}",
        }
    return shown


def _stranger(number: int) -> dict[str, Any]:
    return _shown(
        {
            "id": f"{number:032x}",
            "name": "somebody-elses-training-run",
            "status": "active",
            "number": 250 + number,
            "launched": 0.0,
            "public_keys": [],
            "ip": f"203.0.113.{250 + number}",
            "ssh_key_names": ["their-key"],
            "file_system_names": [],
            "region": catalogue.region("us-east-1"),
            "instance_type": catalogue.INSTANCE_TYPES["gpu_1x_a10"],
            "tags": [],
        }
    )


def _write(file: Path, value: object) -> None:
    _write_text(file, json.dumps(value))


def _write_text(file: Path, text: str) -> None:
    """Write a file whole or not at all, for nobody else to read."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_name(file.name + ".new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(file)
