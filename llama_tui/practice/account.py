"""The pretend account: what is launched, how it comes up and goes, and what is refused (lambda-cloud-api.md §7).

Machines are on disk (machine.json), so that a killed practice process takes them up again.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from llama_tui.practice import catalogue
from llama_tui.practice.refused import Refused, insufficient_capacity, invalid, missing
from llama_tui.practice.switches import Faults, Timing

if TYPE_CHECKING:
    from llama_tui.practice.machines import Machine
    from llama_tui.practice.requests import ImageChoice, LaunchRequest

ADDRESSES = range(2, 250)
"""Last numbers of the addresses that machines get; strangers have those above. An address is used again."""

OWN = {"launched", "number", "public_keys", "boot", "hidden_reads", "seconds_to_ssh", "programs"}
"""What is known of a machine and not shown."""


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
        self._strangers: dict[str, dict[str, Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._faults = Faults(folder / "switches.json")
        self._account_file = folder / "account.json"

    # ---- on disk

    async def take_up(self) -> None:
        """Go on with the machines of an earlier practice process; those that were active are reachable afterwards."""
        if self._account_file.exists():
            kept = json.loads(self._account_file.read_text())
            self.ssh_keys, self.filesystems = kept["ssh_keys"], kept["filesystems"]
            self.firewall_rules = kept.get("firewall_rules", self.firewall_rules)
        for file in sorted((self._folder / "machines").glob("*/machine.json")):
            try:
                instance = json.loads(file.read_text())
                self._instances[instance["id"]] = instance
            except (ValueError, TypeError, KeyError) as error:
                print(f"{file} is left aside: {error!r}", flush=True)  # noqa: T201
        self._write_ssh_config()
        for instance in self._instances.values():
            self.had_machines = True
            machine = self._machine(instance)
            if instance["status"] == "active":
                await machine.open_ssh()
            self._go(self._end(instance) if instance["status"] == "terminating" else self._boot(instance))
        self._write_ssh_config()

    def save(self) -> None:
        """Keep what is no machine."""
        kept = {"ssh_keys": self.ssh_keys, "filesystems": self.filesystems, "firewall_rules": self.firewall_rules}
        _write(self._account_file, kept)

    def _keep(self, instance: dict[str, Any]) -> None:
        # Never after the folder is gone: that would be a machine again.
        if instance["id"] in self._machines and instance["status"] != "terminated":
            _write(self._folder / "machines" / instance["id"] / "machine.json", instance)

    def faults(self) -> Faults:
        """What goes wrong now."""
        if self._faults.read_if_changed():
            strangers = [_stranger(n) for n in range(self._faults.switches.strangers)]
            self._strangers = {one["id"]: one for one in strangers}
        return self._faults

    # ---- instances

    def instances(self) -> list[dict[str, Any]]:
        """Everything that the account lists."""
        there = [*self._instances.values(), *self._strangers.values()]
        return [self._shown(one) for one in there if not _hides(one)]

    def instance(self, id: str) -> dict[str, Any]:  # noqa: A002
        """One of them. Raises Refused."""
        found = self._find(id)
        if _hides(found):
            raise missing("instance")
        return self._shown(found)

    def _find(self, id: str) -> dict[str, Any]:  # noqa: A002
        found = self._instances.get(id) or self._strangers.get(id)
        if found is None:
            raise missing("instance")
        return found

    def _shown(self, instance: dict[str, Any]) -> dict[str, Any]:
        switches = self.faults().switches
        shown = _shown(instance) | switches.shown
        return {name: value for name, value in shown.items() if name not in switches.absent}

    def idle(self) -> bool:
        """Nothing is launched, or everything is gone."""
        return not self._instances

    def list_filesystems(self) -> list[dict[str, Any]]:
        """The filesystems, each with whether a machine has it."""
        used = {name for one in self._instances.values() for name in one["file_system_names"]}
        return [{**one, "is_in_use": one["name"] in used} for one in self.filesystems]

    def launch(self, asked: LaunchRequest) -> str:
        """Launch a machine; returns its id. Raises Refused."""
        key, filesystems = self._checked(asked)
        self.faults().at_launch(asked.instance_type_name, asked.region_name)
        switches = self.faults().switches
        kind = catalogue.INSTANCE_TYPES[asked.instance_type_name]
        price = switches.price_at_launch.get(asked.instance_type_name, kind["price_cents_per_hour"])
        number = next(iter(set(ADDRESSES) - {other["number"] for other in self._instances.values()}), None)
        if number is None:
            raise Refused(400, "global/quota-exceeded", "Quota exceeded.", "Contact Support to increase your quota.")
        id_ = secrets.token_hex(16)
        instance: dict[str, Any] = {
            "id": id_,
            "name": asked.name or "",
            "status": "booting",
            "launched": time.time(),
            "number": number,
            "boot": switches.boot,
            "hidden_reads": switches.hidden_reads,
            "seconds_to_ssh": switches.seconds_to_ssh,
            "programs": switches.programs,
            "ssh_key_names": [key["name"]],
            "public_keys": [] if switches.refuses_keys else [key["public_key"]],
            "file_system_names": [one["name"] for one in filesystems],
            "region": catalogue.region(asked.region_name),
            "instance_type": kind | {"price_cents_per_hour": price},
            "tags": msgspec.to_builtins(asked.tags),
        }
        if asked.file_system_mounts:
            instance["file_system_mounts"] = msgspec.to_builtins(asked.file_system_mounts)
        if asked.hostname:
            instance["hostname"] = asked.hostname
        self._instances[id_] = instance
        self.had_machines = True
        self._machine(instance)
        self._keep(instance)
        self._go(self._boot(instance))
        return id_

    def _checked(self, asked: LaunchRequest) -> tuple[dict[str, str], list[dict[str, Any]]]:
        """The key and the filesystems that a launch names."""
        kind, region = asked.instance_type_name, asked.region_name
        if kind not in catalogue.INSTANCE_TYPES:
            raise missing("instance type", 400)
        if region not in catalogue.REGIONS:
            raise invalid(f"region_name: {region} is not a region.")
        key = next((one for one in self.ssh_keys if one["name"] == asked.ssh_key_names[0]), None)
        if key is None:
            raise missing("SSH key", 400)
        if asked.image:
            self._check_image(asked.image, region, catalogue.INSTANCE_TYPES[kind]["architecture"])
        if asked.firewall_rulesets:
            raise missing("firewall ruleset", 400)  # they cannot be made here
        wanted = [("name", name) for name in asked.file_system_names]
        wanted += [("id", mount.file_system_id) for mount in asked.file_system_mounts]
        filesystems: dict[str, dict[str, Any]] = {}
        for field, value in wanted:
            found = next((one for one in self.filesystems if one[field] == value), None)
            if found is None:
                raise missing("filesystem", 400)
            if found["region"]["name"] != region:
                code = "instance-operations/launch/file-system-in-wrong-region"
                raise Refused(400, code, f"Filesystem {found['name']} is not in {region}.")
            filesystems[found["id"]] = found
        if region not in catalogue.CAPACITY[kind]:
            raise insufficient_capacity()
        return key, list(filesystems.values())

    def _check_image(self, image: ImageChoice, region: str, architecture: str) -> None:
        for one in catalogue.images():
            there = one["region"]["name"] == region and one["architecture"] == architecture
            if there and (one["id"] == image.id or one["family"] == image.family):
                return
        raise missing("image", 400)

    def terminate(self, ids: list[str]) -> list[dict[str, Any]]:
        """End machines. Raises Refused when one is not there."""
        found = [self._find(id_) for id_ in ids]
        for instance in found if not self.faults().deaf() else ():
            if instance["status"] not in ("terminating", "terminated"):
                instance["status"] = "terminating"
                self._keep(instance)
                self._go(self._end(instance))
        return [self._shown(instance) for instance in found]

    def restart(self, ids: list[str]) -> list[dict[str, Any]]:
        """Restart machines: what runs ends, SSH goes for a moment, disk and address stay. Raises Refused."""
        found = [self._find(id_) for id_ in ids]
        if any(instance["status"] != "active" for instance in found):
            raise invalid("Only an active instance can be restarted.")
        for instance in found:
            if instance["id"] in self._machines:
                self._go(self._reopen(self._machines[instance["id"]]))
        return [self._shown(instance) for instance in found]

    def rename(self, id: str, name: str) -> dict[str, Any]:  # noqa: A002
        """Give a machine another name. Raises Refused."""
        instance = self._find(id)
        instance["name"] = name
        self._keep(instance)
        return self._shown(instance)

    # ---- life

    def _machine(self, instance: dict[str, Any]) -> Machine:
        # asyncssh takes long to load: the API answers while it does (`__main__` begins with it).
        from llama_tui.practice.machines import Machine

        folder = self._folder / "machines" / instance["id"]
        cache, programs = self._folder / "cache", instance.get("programs", {})
        machine = Machine(instance["id"], folder, cache, instance["public_keys"], programs)
        self._machines[instance["id"]] = machine
        return machine

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _boot(self, instance: dict[str, Any]) -> None:
        """Take a machine from where it is on its way to where it gets; its end may come between any two steps."""
        timing, machine, boot = self._timing, self._machines[instance["id"]], instance["boot"]

        async def after(seconds: float, status: str = "booting") -> bool:
            await asyncio.sleep(instance["launched"] + seconds - time.time())
            return str(instance["status"]) == status

        async def open_ssh() -> None:
            await machine.open_ssh()
            self._write_ssh_config()

        if not await after(timing.ip):
            return
        instance["ip"] = f"203.0.113.{instance['number']}"
        self._keep(instance)
        if not await after(timing.ip + timing.ssh):
            return
        late = instance.get("seconds_to_ssh", 0.0)
        if not boot and not late:
            await open_ssh()
        active = timing.ip + timing.ssh + timing.active
        if not await after(active) or boot == "stuck":
            return
        if boot == "terminated":
            await self._end(instance)
            return
        instance["status"] = boot or "active"
        self._keep(instance)
        if late and not boot and await after(active + late, "active"):
            await open_ssh()

    async def _end(self, instance: dict[str, Any]) -> None:
        waiting = [asyncio.sleep(self._timing.terminating)]
        if instance["id"] in self._machines:
            waiting.append(self._machines[instance["id"]].end())
        await asyncio.gather(*waiting)
        instance["status"] = "terminated"
        self._machines.pop(instance["id"], None)
        self._write_ssh_config()
        await asyncio.sleep(self._timing.terminated)
        self._instances.pop(instance["id"], None)
        self._strangers.pop(instance["id"], None)

    async def _reopen(self, machine: Machine) -> None:
        await machine.stop()
        await asyncio.sleep(self._timing.restart)
        await machine.open_ssh()
        self._write_ssh_config()

    def _write_ssh_config(self) -> None:
        """Say where each machine's address really is: a port of this computer."""
        blocks = [
            f"Host {self._instances[id_]['ip']}\n  HostName 127.0.0.1\n  Port {machine.port}\n"
            for id_, machine in self._machines.items()
            if machine.port
        ]
        # What is meant for a machine that does not answer (any more) is refused here and never leaves this computer.
        blocks.append("Host 203.0.113.*\n  HostName 127.0.0.1\n  Port 1\n")
        _write_text(self._folder / "ssh_config", "".join(blocks))


def _shown(instance: dict[str, Any]) -> dict[str, Any]:
    """An instance as the API shows it (§2.1); what only a running machine has is absent before."""
    status, id_ = instance["status"], instance["id"]
    reason = {"booting": "vm-has-not-launched", "terminating": "vm-is-terminating", "terminated": "vm-is-terminating"}
    action: dict[str, Any] = {"available": status not in reason}
    if status in reason:
        action |= {"reason_code": reason[status], "reason_description": "The instance is not running."}
    shown = {name: value for name, value in instance.items() if name not in OWN}
    # A machine that boots can be terminated.
    shown["actions"] = dict.fromkeys(("migrate", "rebuild", "restart", "cold_reboot"), action)
    shown["actions"]["terminate"] = {"available": True} if status == "booting" else action
    shown["is_reserved"] = False
    if status == "active":
        token = f"practice-jupyter-token-{id_}"
        shown |= {
            "hostname": instance.get("hostname") or instance["ip"].replace(".", "-"),
            "private_ip": f"10.0.0.{instance['number']}",
            "jupyter_token": token,
            "jupyter_url": f"https://jupyter-{id_}.lambdaspaces.com/?token={token}",
        }
    return shown


def _hides(instance: dict[str, Any]) -> bool:
    """Whether this read does not show it yet."""
    left = instance.get("hidden_reads", 0)
    instance["hidden_reads"] = max(left - 1, 0)
    return bool(left > 0)


def _stranger(number: int) -> dict[str, Any]:
    return {
        "id": f"{number:032x}",
        "name": "somebody-elses-training-run",
        "status": "active",
        "number": 250 + number,
        "ip": f"203.0.113.{250 + number}",
        "ssh_key_names": ["their-key"],
        "file_system_names": [],
        "region": catalogue.region("us-east-1"),
        "instance_type": catalogue.INSTANCE_TYPES["gpu_1x_a10"],
        "tags": [],
    }


def _write(file: Path, value: object) -> None:
    _write_text(file, json.dumps(value))


def _write_text(file: Path, text: str) -> None:
    """Write a file whole or not at all, for nobody else to read."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_name(file.name + ".new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(file)
