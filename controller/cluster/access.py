"""Where a cluster's API server is and who we are to it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import load_incluster_config, load_kube_config

from controller.cluster.answers import Unavailable


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request needs. ``tls`` is None for plain HTTP; ``proxy`` only from the kubeconfig."""

    server: str
    tls: ssl.SSLContext | None
    tls_name: str | None
    proxy: str | None
    configuration: Any

    async def authorization(self) -> str | None:
        """Give the Authorization header; a service account's token file is read again each minute."""
        try:
            found = await self.configuration.get_api_key_with_prefix("BearerToken")
        except Exception as error:
            raise Unavailable(f"credentials: {error or type(error).__name__}") from error
        return str(found).strip() if found else None


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """A kubeconfig file and one of its contexts (None: its current one). Without a file: this Pod's own."""

    kubeconfig: str | None = None
    context: str | None = None

    async def load(self) -> Credentials:
        """Read everything anew: file, token file, exec plugin, certificates. Raises Unavailable."""
        found = Configuration()
        try:
            if self.kubeconfig is None:
                load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
            else:
                await load_kube_config(
                    config_file=self.kubeconfig,
                    context=self.context,
                    client_configuration=found,
                    persist_config=False,
                )
            server = found.host or ""
            return Credentials(
                server=server,
                tls=_tls(found) if server.startswith("https") else None,
                tls_name=found.tls_server_name,
                proxy=found.proxy,
                configuration=found,
            )
        except Exception as error:
            raise Unavailable(f"credentials: {error or type(error).__name__}") from error


def _tls(found: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=found.ssl_ca_cert)
    # Python 3.13 turns this on; it refuses authorities without a key identifier, which clusters have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if found.cert_file:
        context.load_cert_chain(found.cert_file, keyfile=found.key_file)
    if not found.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
