"""The kubeconfig of one cluster, for either kind of API server."""

from __future__ import annotations

import base64
from typing import Any


def kubeconfig(name: str, url: str, token: str | None, ca_pem: bytes | None) -> dict[str, Any]:
    """Return a kubeconfig document whose one context, named as the cluster, is the current one.

    `token` is a bearer token and `ca_pem` what the server's certificate is checked against; None
    where the server wants none or speaks plain HTTP.
    """
    cluster: dict[str, str] = {"server": url}
    if ca_pem is not None:
        cluster["certificate-authority-data"] = base64.b64encode(ca_pem).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {} if token is None else {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
