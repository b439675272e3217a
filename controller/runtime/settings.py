"""Where the controller runs and against what: one YAML file, and the environment over it.

``MIGRATE_CONTROLLER_<PATH>`` overrides one value, with ``__`` between levels and ``_`` for the ``-`` of
a cluster's name: ``MIGRATE_CONTROLLER_LEASE__DURATION_S=5``. An empty value means null. Nothing is
guessed: an unknown key or a value out of range is an error that names its place and says what to write.
Everything here is fixed at start but ``max_in_progress`` and ``paused`` (see :func:`reread`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
import yaml
from msgspec import Meta

from controller.domain import Key
from controller.domain.spelling import nearest
from controller.evidence.gateways import ControlService

ENV_PREFIX = "MIGRATE_CONTROLLER_"
CONFIG_ENV = f"{ENV_PREFIX}CONFIG"
"""Names the file; every other variable under the prefix is one of its values."""

# A Service called migrate-controller makes the kubelet set these in every Pod of its namespace.
_SERVICE_LINK = re.compile(
    r"(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)\Z"
)

Label = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z",
        description="a DNS label: at most 63 of a-z, 0-9 and -, with no - at either end",
    ),
]


# What of a URL may be secret: all before its last @, and what follows ? or #.
_USER = re.compile(r"://[^\s'\"]*@")
_QUERY = re.compile(r"(://[^\s'\"?#]*[?#])[^\s'\"]*")


class SettingsError(Exception):
    """Settings that cannot be used; the text is one sentence that begins with the place."""


class _Section(msgspec.Struct, frozen=True):
    """A mapping of the file. Each field's description says, in words, what may be written there."""


LabelName = Annotated[
    str,
    Meta(
        pattern=r"^(?!__)[a-zA-Z_][a-zA-Z0-9_]*\Z",
        description="a label's name: letters, digits and _, with no digit and no __ at its beginning",
    ),
]


Domain = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z",
        description="a DNS domain, in lower case, as cluster.local",
    ),
]


class PrometheusSettings(_Section, frozen=True):
    """How to reach the Prometheus that has what this cluster's Linkerd proxies count.

    What is secret stands in files, and the URL holds none.
    """

    url: Annotated[
        Annotated[
            str,
            Meta(
                pattern=r"^https?://([^\s/?#@:\[\]]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?(/[^\s?#]*)?\Z"
            ),
        ]
        | None,
        Meta(
            description="the http(s):// URL of a Prometheus with this cluster's Linkerd metrics, with"
            " no user or password in it; null: none"
        ),
    ] = None
    matchers: Annotated[
        dict[LabelName, Annotated[str, Meta(description="the label's value, as text")]],
        Meta(
            description="labels of this cluster's series, as {cluster: legacy}, where that Prometheus"
            " has another cluster's too"
        ),
    ] = msgspec.field(default_factory=dict)
    tenant: Annotated[
        Annotated[str, Meta(pattern=r"^[!-~]+\Z")] | None,
        Meta(description="what is sent as X-Scope-OrgID, for Mimir or Cortex; null: nothing"),
    ] = None
    headers_file: Annotated[
        str | None,
        Meta(description="the path of a file with a header in each line, NAME: VALUE; null: none"),
    ] = None
    token_file: Annotated[
        str | None, Meta(description="the path of a file with a bearer token for it; null: none")
    ] = None
    username_file: Annotated[
        str | None,
        Meta(description="the path of a file with the user for basic authentication; null: none"),
    ] = None
    password_file: Annotated[
        str | None, Meta(description="the path of a file with that user's password; null: none")
    ] = None
    cert_file: Annotated[
        str | None, Meta(description="the path of a client certificate for it; null: none")
    ] = None
    key_file: Annotated[
        str | None, Meta(description="the path of that certificate's key; null: none")
    ] = None
    ca_file: Annotated[
        str | None,
        Meta(
            description="the path of the CA that signs its certificate; null: those that are known"
        ),
    ] = None


class TrafficSettings(_Section, frozen=True):
    """How real traffic is judged beside the probes."""

    mode: Annotated[
        Literal["off", "advisory", "required"],
        Meta(
            description="off, advisory (it can roll callers back, and never holds) or required (a"
            " Prometheus that does not tell holds the rise), where the annotation traffic says nothing"
        ),
    ] = "advisory"
    tick_s: Annotated[
        float, Meta(ge=1, le=60, description="seconds between two queries, from 1 to 60")
    ] = 10.0


class ClusterSettings(_Section, frozen=True):
    """How to reach one cluster: its API server, its prober and its Prometheus."""

    kubeconfig: Annotated[
        str | None, Meta(description="a path; null: this Pod's own service account")
    ] = None
    context: Annotated[
        str | None, Meta(description="a context of the kubeconfig; null: its current one")
    ] = None
    gateway_namespace: Annotated[
        Label, Meta(description="the namespace of this cluster's multicluster gateway")
    ] = "linkerd-multicluster"
    domain: Annotated[
        Domain | None,
        Meta(
            description="this cluster's DNS domain; null: what its Link says (targetClusterDomain), as its"
            " mirrors in the other cluster have it"
        ),
    ] = None
    prober: Annotated[
        str,
        Meta(
            pattern=r"^wss?://[^\s/?#]+\Z",
            description="ws://host:port of this cluster's prober, as seen from the controller",
        ),
    ] = "ws://prober.migrate.svc.cluster.local:8080"
    prometheus: PrometheusSettings = PrometheusSettings()


class LeaseSettings(_Section, frozen=True):
    """The one Lease that lets a replica raise; the same for every replica."""

    cluster: Annotated[Label, Meta(description="the cluster that holds the Lease")]
    namespace: Annotated[Label, Meta(description="the namespace of the Lease")] = "migrate"
    name: Annotated[Label, Meta(description="the name of the Lease")] = "migrate-controller"
    duration_s: Annotated[
        float,
        Meta(ge=1, le=300, description="seconds a leader may go without renewing, from 1 to 300"),
    ] = 15.0

    @property
    def full_name(self) -> str:
        """Return what records call it: cluster, namespace and name."""
        return f"{self.cluster}/{self.namespace}/{self.name}"


class ProberSettings(_Section, frozen=True):
    """How the streams to the probers are made."""

    token_file: Annotated[
        str, Meta(min_length=1, description="the path of the file with the probers' token")
    ]
    streams: Annotated[
        int, Meta(ge=2, le=8, description="streams to each prober, a whole number from 2 to 8")
    ] = 2
    proxy_url: Annotated[
        Annotated[str, Meta(pattern=r"^http://[^\s/?#]+/?\Z")] | None,
        Meta(description="the http:// URL of a proxy in place of the sidecar; null: none"),
    ] = None
    service: Annotated[
        str,
        Meta(
            pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?:[0-9]{1,5}\Z",
            description="the probers' Service in both clusters, name.namespace:port, exported, as"
            " prober.migrate:8080: asked through each gateway, to learn of its death at once",
        ),
    ] = "prober.migrate:8080"

    @property
    def control(self) -> ControlService:
        """Return what is asked through each gateway."""
        name, _, rest = self.service.partition(".")
        namespace, _, port = rest.partition(":")
        return ControlService(Key(namespace, name), int(port))


class Settings(_Section, frozen=True):
    """All of them, valid together."""

    clusters: Annotated[
        dict[Label, ClusterSettings],
        Meta(description="exactly two clusters, by the names their Links give them"),
    ]
    lease: LeaseSettings
    prober: ProberSettings
    traffic: TrafficSettings = TrafficSettings()
    installation: Annotated[
        Label,
        Meta(
            description="a name that this controller and its probers share, a DNS label: it stands on every series, and"
            " tells two pairs of clusters in one Prometheus apart"
        ),
    ] = "migrate"
    domain: Annotated[
        Domain, Meta(description="the DNS domain of a cluster of which nothing else says it")
    ] = "cluster.local"
    listen: Annotated[
        str,
        Meta(
            pattern=r"^([^\s:]+|\[[0-9a-fA-F:]+\]):\d{1,5}\Z",
            description="host:port of /metrics, /healthz and /readyz",
        ),
    ] = "0.0.0.0:9990"  # every Pod's own network: nothing but the Pod answers there
    board: Annotated[
        Annotated[str, Meta(pattern=r"^([^\s:]+|\[[0-9a-fA-F:]+\]):\d{1,5}\Z")] | None,
        Meta(
            description="host:port of the board; on 127.0.0.1 only kubectl port-forward reaches it;"
            " null: none"
        ),
    ] = "127.0.0.1:9991"
    notifications: Annotated[
        Annotated[str, Meta(pattern=r"^[^\0]+\Z")] | None,
        Meta(
            description="the path of a file with the receivers of notifications (docs/notifications.md),"
            " itself re-read; null: none"
        ),
    ] = None
    max_in_progress: Annotated[
        int, Meta(ge=1, le=1000, description="how many migrations at once, from 1 to 1000; re-read")
    ] = 20
    paused: Annotated[
        bool, Meta(description="true (no migration advances, all stay armed) or false; re-read")
    ] = False
    split: Annotated[
        Literal["auto", "trafficsplit", "httproute"],
        Meta(
            description="auto (HTTPRoute where it is served), trafficsplit or httproute: what is made for"
            " a Service that has no split and names none"
        ),
    ] = "auto"
    relist_s: Annotated[
        float,
        Meta(ge=1, le=86400, description="seconds between two whole lists, from 1 to 86400"),
    ] = 300.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="debug, info, warning or error"),
    ] = "info"
    otlp_endpoint: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[^\s?#]+\Z")] | None,
        Meta(description="the http(s):// URL of an OpenTelemetry collector; null: no traces"),
    ] = None

    @property
    def domains(self) -> dict[str, str]:
        """Return the DNS domain of each cluster of which it is written."""
        return {name: c.domain for name, c in self.clusters.items() if c.domain is not None}

    @property
    def listen_address(self) -> tuple[str, int]:
        """Return ``listen`` as (host, port)."""
        return _address(self.listen)

    @property
    def board_address(self) -> tuple[str, int] | None:
        """Return ``board`` as (host, port), None where there is none."""
        return None if self.board is None else _address(self.board)


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def load(path: Path | str, environ: Mapping[str, str]) -> Settings:
    """Return the file at ``path`` with the overrides of ``environ``. Raises :class:`SettingsError`."""
    try:
        raw = _overridden(parsed(Path(path)), environ)
        settings: Settings = _read(Settings, raw, "")
    except RecursionError as error:  # an alias that holds itself
        raise SettingsError(f"{path}: is nested too deep") from error
    _check_together(settings)
    return settings


def reread(
    path: Path | str, environ: Mapping[str, str], current: Settings
) -> Settings | SettingsError:
    """Return ``current`` with what may change while running, as the file says now.

    A file that cannot be used is returned as its error: keep ``current`` and report it.
    """
    try:
        new = load(path, environ)
    except SettingsError as error:
        return error
    return msgspec.structs.replace(current, max_in_progress=new.max_in_progress, paused=new.paused)


def example() -> str:
    """Return ``deploy/controller.example.yaml``: every key with its default and what may be written."""
    shown = Settings(
        clusters={
            "legacy": ClusterSettings(kubeconfig="/etc/migrate/legacy.kubeconfig"),
            "eks": ClusterSettings(
                prober="ws://prober-eks.migrate.svc.cluster.local:8080",
            ),
        },
        lease=LeaseSettings(cluster="legacy"),
        prober=ProberSettings(token_file="/etc/migrate/prober-token"),  # noqa: S106 - a path
    )
    head = (
        "# The controller's settings, every key with its default. Unknown keys are errors.\n"
        f"# Any value can be overridden by the environment: {ENV_PREFIX}LEASE__DURATION_S=5\n"
    )
    return head + "\n".join(_written(shown, "")) + "\n"


# --- the file and the environment ---------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once: of two, PyYAML would quietly take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping; raise the key that stands twice."""
        known = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in known:
                problem = f"{name} is written twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            known.add(name)
        return super().construct_mapping(node, deep)


def parsed(path: Path) -> object:
    """Return what a YAML file holds. Raises :class:`SettingsError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is no UTF-8 text") from error
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SettingsError(f"{path}: line {line} is no YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none, as 2026-99-99
        raise SettingsError(f"{path}: is no YAML: {error}") from error


class _Word(NamedTuple):
    """A value from the environment, where everything is text: ``5`` may mean a number."""

    text: str
    variable: str


def _overridden(raw: object, environ: Mapping[str, str]) -> object:
    """Return ``raw`` with the environment's values put in place, each marked with its variable."""
    tree = _copied({} if raw is None else raw)
    for variable in sorted(environ):
        rest = variable.removeprefix(ENV_PREFIX)
        if variable not in (rest, CONFIG_ENV) and not _SERVICE_LINK.match(rest):
            _put(tree, _levels(rest), _Word(environ[variable], variable))
    return tree


def _levels(rest: str) -> list[str]:
    """Return the keys that a variable names, from the top down."""
    levels = rest.lower().split("__")
    # A cluster's name has no underscore, a key no hyphen: each level's own key decides.
    if levels[0] == "clusters" and len(levels) > 2:
        levels[1] = levels[1].replace("_", "-")
    return levels


def _put(tree: Any, levels: list[str], word: _Word) -> None:
    """Put a value in its place, and make the levels above it where they are missing."""
    at = tree
    for depth, level in enumerate(levels):
        if not isinstance(at, dict):
            place = ".".join(levels[:depth]) or "the file"
            raise SettingsError(f"{word.variable}: {place} holds no keys to override")
        if depth == len(levels) - 1:
            at[level] = word
        else:
            at[level] = at = {} if at.get(level) is None else at[level]


def _copied(raw: Any) -> Any:
    return {key: _copied(value) for key, value in raw.items()} if isinstance(raw, dict) else raw


# --- values -------------------------------------------------------------------------------------


def _read(wanted: Any, raw: Any, path: str) -> Any:
    """Return ``raw`` as a ``wanted``: a Struct, a dict of Structs, or a value with its description."""
    bare = get_args(wanted)[0] if get_origin(wanted) is Annotated else wanted
    if isinstance(bare, type) and issubclass(bare, _Section):
        return _read_section(bare, raw, path)
    if get_origin(bare) is dict:
        key_type, value_type = get_args(bare)
        mapping = _mapping(raw, path)
        return {
            _read(key_type, key, f"{path}.{key}"): _read(value_type, value, f"{path}.{key}")
            for key, value in mapping.items()
        }
    return _read_value(wanted, raw, path)


def _read_section(section: type[_Section], raw: object, path: str) -> _Section:
    types = get_type_hints(section, include_extras=True)
    prefix = f"{path}." if path else ""
    mapping = _mapping(raw, path)
    for key, value in mapping.items():
        if key not in types:
            meant = nearest(str(key), types)
            hint = f"did you mean {meant}?" if meant else f"known are {', '.join(types)}"
            raise SettingsError(f"{_place(value, f'{prefix}{key}')}: unknown key; {hint}")
    for field in msgspec.structs.fields(section):
        if field.required and field.name not in mapping:
            what = "".join(f"; write {words}" for words in _descriptions(types[field.name])[-1:])
            raise SettingsError(f"{prefix}{field.name}: is missing{what}")
    return section(
        **{key: _read(types[key], value, f"{prefix}{key}") for key, value in mapping.items()}
    )


def _read_value(wanted: Any, raw: object, path: str) -> Any:
    value = (raw.text or None) if isinstance(raw, _Word) else raw
    try:
        return msgspec.convert(value, wanted, strict=not isinstance(raw, _Word))
    except msgspec.ValidationError as error:
        what = ", ".join(reversed(_descriptions(wanted)))
        raise SettingsError(f"{_place(raw, path)}: is {_shown(value)}; write {what}") from error


def _mapping(raw: object, path: str) -> dict[Any, Any]:
    if isinstance(raw, dict):
        return raw
    if raw is None:
        return {}
    value = raw.text if isinstance(raw, _Word) else raw
    raise SettingsError(
        f"{_place(raw, path) or 'the file'}: is {_shown(value)}; write a mapping of keys"
    )


def _shown(value: object) -> str:
    """Return a value as it may be told: what of a URL may be secret is left out."""
    text = "null" if value is None else repr(value)
    return _QUERY.sub(r"\1***", _USER.sub("://***@", text))


def _place(raw: object, path: str) -> str:
    """Return ``path``, and the variable that put ``raw`` there, if one did."""
    variable = _variable(raw)
    return f"{path} (from {variable})" if variable else path


def _variable(raw: object) -> str:
    if isinstance(raw, _Word):
        return raw.variable
    if isinstance(raw, dict):
        return next(filter(None, map(_variable, raw.values())), "")
    return ""


def _descriptions(wanted: Any) -> list[str]:
    """Return the words that describe a value, the type's before the field's; none for a section."""
    return [note.description for note in getattr(wanted, "__metadata__", ()) if note.description]


def _check_together(settings: Settings) -> None:
    """Raise :class:`SettingsError` for what no single value can show."""
    _check_clusters(settings)
    names = list(settings.clusters)
    if settings.lease.cluster not in names:
        raise SettingsError(
            f"lease.cluster: is {settings.lease.cluster!r}; write {' or '.join(names)}"
        )
    _check_prometheus(settings)
    without = [name for name in names if settings.clusters[name].prometheus.url is None]
    if settings.traffic.mode == "required" and without:
        raise SettingsError(
            f"traffic.mode: is 'required', but clusters.{without[0]}.prometheus.url is not set; "
            "write it, or advisory"
        )
    for place, listen in (("listen", settings.listen), ("board", settings.board)):
        if listen is not None and _address(listen)[1] > 65535:
            raise SettingsError(f"{place}: is {listen!r}; write a port up to 65535")


def _check_clusters(settings: Settings) -> None:
    """Raise :class:`SettingsError` where these are not two clusters."""
    names = list(settings.clusters)
    if len(names) != 2:
        raise SettingsError(f"clusters: has {len(names)}; write exactly two")
    one, other = settings.clusters.values()
    if (one.kubeconfig, one.context) == (other.kubeconfig, other.context):
        raise SettingsError(
            f"clusters.{names[1]}: is the same cluster as {names[0]}; "
            "write another kubeconfig or context"
        )


_PAIRS = (("username_file", "password_file"), ("cert_file", "key_file"))
"""Settings of a Prometheus of which each is nothing without the other."""


def _check_prometheus(settings: Settings) -> None:
    """Raise :class:`SettingsError` for half of a pair, two authentications, or one Prometheus taken for two."""
    for name, cluster in settings.clusters.items():
        asked, place = cluster.prometheus, f"clusters.{name}.prometheus"
        for one, other in (*_PAIRS, *(pair[::-1] for pair in _PAIRS)):
            if getattr(asked, one) is not None and getattr(asked, other) is None:
                raise SettingsError(f"{place}.{other}: is missing; {one} needs it")
        if asked.token_file is not None and asked.username_file is not None:
            raise SettingsError(
                f"{place}.token_file: stands beside username_file; write one of the two"
            )
    (one_name, one_cluster), (other_name, other_cluster) = settings.clusters.items()
    if _is_shared(one_cluster.prometheus, other_cluster.prometheus):
        raise SettingsError(
            f"clusters.{other_name}.prometheus.url: is that of {one_name} too, and nothing tells their"
            " series apart; give both matchers in which a label differs, as"
            f" {{cluster: {one_name}}} and {{cluster: {other_name}}}, or tenants that differ"
        )


def _is_shared(one: PrometheusSettings, other: PrometheusSettings) -> bool:
    """Return whether two clusters have one Prometheus, and the same series of it."""
    if one.url is None or other.url is None or _endpoint(one.url) != _endpoint(other.url):
        return False
    labels = one.matchers.keys() & other.matchers.keys()
    differ = any(one.matchers[label] != other.matchers[label] for label in labels)
    return not differ and (None in (one.tenant, other.tenant) or one.tenant == other.tenant)


def _endpoint(url: str) -> tuple[str, str | None, int | None, str]:
    """Return what a URL leads to, the same for each of its spellings."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/")


def _written(section: _Section, indent: str) -> list[str]:
    """Return the section as YAML lines, each value under the words that describe it."""
    lines = []
    types = get_type_hints(type(section), include_extras=True)
    for name, value in msgspec.structs.asdict(section).items():
        lines += [f"{indent}# {words}" for words in _descriptions(types[name])[-1:]]
        if isinstance(value, _Section):
            lines += [f"{indent}{name}:", *_written(value, f"{indent}  ")]
        elif isinstance(value, dict) and value:
            lines.append(f"{indent}{name}:")
            for key, inner in value.items():
                lines += [f"{indent}  {key}:", *_written(inner, f"{indent}    ")]
        else:
            lines.append(f"{indent}{name}: {msgspec.json.encode(value).decode()}")
    return lines
