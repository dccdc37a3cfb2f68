"""Who the numbers are about: OpenTelemetry resource attributes of the agent itself and of the workloads it watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from collector.errors import SettingsError
from collector.export.attribute_text import valid_text
from collector.workload import Workload

# What OTEL_RESOURCE_ATTRIBUTES says about the place and not about the agent holds for every workload of this node too.
OF_THE_PLACE = ("cloud.", "deployment.", "host.", "k8s.cluster.", "k8s.node.", "os.")
LISTS = frozenset(("container.image.tags",))  # attributes that the conventions want as lists of text
MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


@dataclass(frozen=True, slots=True)
class Resources:
    """agent: attributes of the agent; place: those that every workload on this node shares."""

    agent: Mapping[str, str]
    place: Mapping[str, str]

    def of_workload(self, workload: Workload) -> dict[str, str]:
        """service.instance.id tells apart what has the same name: containers of a service, and the same unit on two hosts."""
        named = {key: valid_text(value) for key, value in workload.attributes().items()}
        instance = workload.container_id or workload.pod_uid or self.place.get("host.id") or self.place.get("host.name", "")
        return {**self.place, "service.name": "unknown", "service.instance.id": instance, **named}


def wire_values(attributes: Mapping[str, str]) -> dict[str, str | list[str]]:
    """As they are sent: lists where the conventions want lists."""
    return {name: [value] if name in LISTS else value for name, value in attributes.items()}


def read_resources(environ: Mapping[str, str], host_name: str, host_id: str, version: str) -> Resources:
    """SettingsError when OTEL_RESOURCE_ATTRIBUTES is not key=value,key=value."""
    given = parse_resource_attributes(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    distro = {"telemetry.distro.name": "honeyguide", "telemetry.distro.version": version}
    host = {key: valid_text(value) for key, value in (("host.name", host_name), ("host.id", host_id)) if value}
    place = {**host, **distro, **{key: value for key, value in given.items() if key.startswith(OF_THE_PLACE)}}
    own = {"service.name": "honeyguide", "service.version": version, "service.instance.id": host_id or host_name}
    named = {"service.name": environ["OTEL_SERVICE_NAME"]} if environ.get("OTEL_SERVICE_NAME") else {}
    return Resources(agent={**place, **own, **given, **named}, place=place)


def parse_resource_attributes(text: str) -> dict[str, str]:
    """'key=value,key=value', values URL-encoded (Resource SDK specification); the last of two equal keys counts."""
    attributes: dict[str, str] = {}
    for number, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), 1):
        key, equals, value = (part.strip() for part in entry.partition("="))
        if not equals or not key:
            raise SettingsError(f"Entry {number} of OTEL_RESOURCE_ATTRIBUTES is not key=value.", "Values are URL-encoded.")
        attributes[valid_text(key)] = valid_text(unquote(value))
    return attributes


def read_machine_id(files: tuple[Path, ...] = MACHINE_ID_FILES) -> str:
    """The machine's id (host.id of the semantic conventions); '' where there is none."""
    for path in files:
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if text.isalnum():
            return text
    return ""
