"""Where a cluster's API server is and who we are to it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import load_incluster_config
from kubernetes_asyncio.config.kube_config import KubeConfigLoader, KubeConfigMerger
from yarl import URL

from controller.kube.api.errors import Unavailable
from controller.kube.api.exec_credential import Issued, issue
from controller.kube.api.expiry import End, end_of_user

IMPERSONATION = ("as", "as-uid", "as-groups", "as-user-extra")
"""Keys of a kubeconfig's user that ask to act as somebody else."""

PROVIDERS = ("gcp", "oidc")
"""The auth-providers that are understood; kubectl itself has dropped them for exec plugins."""

RENEW_AT = 0.75
"""The part of a token's life after which another is fetched: no request waits for a plugin then."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request needs. ``tls`` is None for plain HTTP; ``proxy`` only from the kubeconfig.

    ``renew_in_s`` is how long after loading others should be fetched (infinite: when these are refused), and ``end``
    when those end that a plugin gave.
    """

    server: str
    tls: ssl.SSLContext | None
    tls_name: str | None
    proxy: str | None
    configuration: Any
    renew_in_s: float = inf
    end: End | None = None

    async def authorization(self) -> str | None:
        """Return the Authorization header; a service account's token file is read again each minute."""
        try:
            found = await self.configuration.get_api_key_with_prefix("BearerToken")
        except Exception as error:
            raise Unavailable(f"credentials: {error or type(error).__name__}") from error
        header = str(found).strip() if found else None
        if header and not (header.isascii() and header.isprintable()):
            raise Unavailable("credentials: the token holds characters that no token has")
        return header


def unsupported(name: str, user: Mapping[str, Any], cluster: Mapping[str, Any]) -> str | None:
    """Return what the user of this name, or its cluster, asks for that is not done, and what to write instead.

    To leave any of it out would be to act as somebody with other rights, or to go another way than was asked.
    """
    for key in IMPERSONATION:
        if user.get(key):
            return (
                f'the user "{name}" of the kubeconfig has {key}, and nobody is impersonated here: remove it, and'
                " give that user credentials with the rights that are wanted"
            )
    provider = user.get("auth-provider")
    kind = provider.get("name") if isinstance(provider, Mapping) else None
    if kind is not None and kind not in PROVIDERS:
        return f'the user "{name}" of the kubeconfig has the auth-provider {kind}: use its exec plugin instead'
    proxy = cluster.get("proxy-url")
    if proxy and not _is_http(str(proxy)):
        return (
            f'the proxy-url of the cluster of "{name}" in the kubeconfig is no http:// or https:// URL: write one, or'
            " remove it"
        )
    return None


def _is_http(text: str) -> bool:
    try:
        url = URL(text)
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.host)


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """A kubeconfig file and one of its contexts (None: its current one). Without a file: this Pod's own."""

    kubeconfig: str | None = None
    context: str | None = None

    async def load(self) -> Credentials:
        """Read everything anew: file, token file, exec plugin, certificates. Raises Unavailable."""
        found, issued = Configuration(), Issued()
        try:
            if self.kubeconfig is None:
                load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
            else:
                loader = _Loader(self.kubeconfig, self.context)
                await loader.load_and_set(found)
                issued = loader.issued
            server = _server(found)
            return Credentials(
                server=server,
                tls=_tls(found, issued) if server.startswith("https") else None,
                tls_name=found.tls_server_name,
                proxy=found.proxy,
                configuration=found,
                renew_in_s=_renew_in_s(issued),
                end=_end_of(issued),
            )
        except Exception as error:
            raise Unavailable(f"credentials: {error or type(error).__name__}") from error

    def end(self) -> End | None:
        """Return when what stands in the kubeconfig's files now ends: None of this Pod's own, of a plugin's, and where
        no end can be read. Reads files."""
        if self.kubeconfig is None:
            return None
        try:
            return _Loader(self.kubeconfig, self.context).end()
        except Exception:  # noqa: BLE001 - of many kinds; what is wrong with it, load() says
            return None


def _server(found: Any) -> str:
    server = str(found.host or "")
    if not URL(server).host:
        raise ValueError(f"the server {server!r} is no URL")
    return server


class _Loader(KubeConfigLoader):
    """The library's, but for exec plugins: those of the library have no end, and are not killed."""

    def __init__(self, kubeconfig: str, context: str | None) -> None:
        super().__init__(config_dict=KubeConfigMerger(kubeconfig).config, active_context=context)
        self.issued = Issued()
        self._folder = str(Path(kubeconfig).expanduser().absolute().parent)

        if wrong := unsupported(*self._asked()):
            raise ValueError(wrong)

    def _asked(self) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
        """Return the name of the user that the context means, and what stands of it and of its cluster."""
        context: Any = self._current_context
        user: Any = self._user
        cluster: Any = self._cluster
        named = context["context"].safe_get("user") or ""
        return str(named), user.value if user else {}, cluster.value

    def end(self) -> End | None:
        """Return when what the user is known by ends; a plugin is not asked."""
        return end_of_user(self._asked()[1], Path(self._folder))

    async def load_from_exec_plugin(self) -> bool:
        """Take a token, or leave a certificate to the TLS context."""
        section: Any = self._user and self._user["exec"]
        self.issued = await issue(section.value, self._folder)
        if self.issued.token:
            self.token = f"Bearer {self.issued.token}"
        return True


def _end_of(issued: Issued) -> End | None:
    """Return when what a plugin just gave ends; None where it does not say."""
    ends = issued.expiration_timestamp
    if ends is None:
        return None
    return End(ends if ends.tzinfo else ends.replace(tzinfo=UTC), since=datetime.now(UTC))


def _renew_in_s(issued: Issued) -> float:
    end = _end_of(issued)
    if end is None or end.since is None:
        return inf
    return max(0.0, RENEW_AT * (end.at - end.since).total_seconds())


def _tls(found: Any, issued: Issued) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=found.ssl_ca_cert)
    # Python 3.13 turns this on; it refuses authorities without a key identifier, which clusters have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if issued.client_certificate_data and issued.client_key_data:
        _use(context, issued.client_certificate_data, issued.client_key_data)
    elif found.cert_file:
        context.load_cert_chain(found.cert_file, keyfile=found.key_file)
    if not found.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _use(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Use a certificate that a plugin printed; OpenSSL reads files only, and this one stays for no longer."""
    with TemporaryDirectory() as folder:
        both = Path(folder, "both.pem")
        both.write_text(f"{certificate}\n{key}\n")
        context.load_cert_chain(both)
