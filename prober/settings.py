"""The settings: one YAML file, and environment variables that override it.

``MIGRATE_PROBER_<KEY>`` overrides ``<key>``. A mistake is answered with a sentence that names the
key and says what to write.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from yarl import URL

from prober.aims import Aims
from prober.target import is_label, is_service_name

ENV_PREFIX = "MIGRATE_PROBER_"
CONFIG_ENV = ENV_PREFIX + "CONFIG"

_NUMBERS = frozenset({"reference_port", "cap_per_s"})

# What Kubernetes puts into every container for a Service named migrate-prober.
_SERVICE_LINK = re.compile(
    rf"{ENV_PREFIX}(.*_)?(SERVICE_HOST|SERVICE_PORT|SERVICE_PORT_.+|PORT|PORT_\d+_.+)"
)


class SettingsError(ValueError):
    """A mistake in the settings; its text is a sentence for people."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a prober is told when it starts."""

    cluster: str
    """The cluster it runs in, by the name its Link gives it."""
    token_file: str
    """The bearer tokens that controllers may present, one a line."""
    installation: str = "migrate"
    """The controller's ``installation``: a label of every series."""
    name: str = ""
    """Who answers, in Hello; empty: the host's name."""
    listen: str = "0.0.0.0:8080"
    domain: str = "cluster.local"
    reference_service: str = "prober.migrate"
    """The prober's own Service, ``<service>.<namespace>``."""
    reference_port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 8080
    cap_per_s: Annotated[float, msgspec.Meta(ge=1, le=100_000)] = 1_000.0
    """How many probes a second all streams together may send; the control probe comes on top."""
    proxy_url: str | None = None
    """An HTTP proxy that stands in for the sidecar, as the local clusters do."""
    allow: tuple[str, ...] = ()
    """Networks that are probed although none is by itself, as 127.0.0.0/8 for a trial on one machine."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of ``listen``."""
        host, _, port = self.listen.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)

    @property
    def aims(self) -> Aims:
        """Where probes may go. Kubernetes tells every container where the API server is."""
        own = os.environ.get("KUBERNETES_SERVICE_HOST", "")
        return Aims(map(ipaddress.ip_network, self.allow), own)


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises :class:`SettingsError`."""
    written = {**_from_file(path), **_from_environment(environ)}
    if not written.get("name"):
        written["name"] = socket.gethostname()
    try:
        settings = msgspec.convert(written, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(_sentence(error)) from error
    _check(settings)
    return settings


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the settings {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings {path} are not YAML: {error}") from error
    if written is None:
        return {}
    if not isinstance(written, dict):
        raise SettingsError(f"the settings {path} must be a mapping of keys to values")
    return {str(key): value for key, value in written.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    written: dict[str, Any] = {}
    keys = {field.name for field in msgspec.structs.fields(Settings)}
    for variable, value in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable == CONFIG_ENV:
            continue
        key = variable.removeprefix(ENV_PREFIX).lower()
        if key not in keys:
            if _SERVICE_LINK.fullmatch(variable):
                continue
            raise SettingsError(f"{variable} overrides nothing: {_known_keys()}")
        written[key] = _read(variable, key, value)
    return written


def _read(variable: str, key: str, value: str) -> Any:
    if key == "allow":
        return value.split()
    return _number(variable, value) if key in _NUMBERS else value


def _number(variable: str, value: str) -> float:
    try:
        return int(value) if re.fullmatch(r"-?\d+", value) else float(value)
    except ValueError as error:
        raise SettingsError(f"{variable} is {value!r}: write a number") from error


def _sentence(error: msgspec.ValidationError) -> str:
    text = str(error)
    unknown = re.search(r"unknown field `(.+?)`", text)
    if unknown:
        return f"the settings have no key {unknown[1]!r}: {_known_keys()}"
    missing = re.search(r"missing required field `(.+?)`", text)
    if missing:
        return (
            f"the settings lack {missing[1]!r}: write it, or set {ENV_PREFIX}{missing[1].upper()}"
        )
    what, _, where = text.partition(" - at ")
    return f"the settings' {where.strip('`$.')} is not what it must be: {what[0].lower()}{what[1:]}"


def _known_keys() -> str:
    return "write one of " + ", ".join(field.name for field in msgspec.structs.fields(Settings))


def _check(settings: Settings) -> None:
    """Check what types cannot say."""
    if not is_label(settings.cluster):
        raise SettingsError(
            f"the settings' cluster {settings.cluster!r} is not a cluster's name: write the name "
            "that its Link gives it"
        )
    if not is_label(settings.installation):
        raise SettingsError(
            f"the settings' installation {settings.installation!r} is not a name: write the one that the "
            "controller's settings have, of at most 63 of a-z, 0-9 and -"
        )
    service, _, namespace = settings.reference_service.partition(".")
    if not is_service_name(service) or not is_label(namespace):
        raise SettingsError(
            f"the settings' reference_service {settings.reference_service!r} is not a Service: "
            "write <service>.<namespace>"
        )
    if not all(is_label(label) for label in settings.domain.split(".")):
        raise SettingsError(
            f"the settings' domain {settings.domain!r} is not a domain: write it as cluster.local"
        )
    if not _is_listen(settings.listen):
        raise SettingsError(
            f"the settings' listen {settings.listen!r} is not an address: write ip:port, as "
            "0.0.0.0:8080 or [::]:8080"
        )
    _check_networks(settings.allow)
    if settings.proxy_url is not None and not _is_proxy(settings.proxy_url):
        raise SettingsError(
            f"the settings' proxy_url {settings.proxy_url!r} is not a proxy: write http://ip:port"
        )


def _check_networks(networks: tuple[str, ...]) -> None:
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise SettingsError(
                f"the settings' allow {network!r} is no network: write it as 127.0.0.0/8"
            ) from error


def _is_listen(listen: str) -> bool:
    host, _, port = listen.rpartition(":")
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return port.isascii() and port.isdecimal() and int(port) <= 65_535


def _is_proxy(text: str) -> bool:
    try:
        url = URL(text)
        return url.scheme == "http" and bool(url.host) and url.path == "/" and not url.query_string
    except ValueError:
        return False
