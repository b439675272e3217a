"""The part of kubernetes-asyncio that is used: the loading of a kubeconfig, or of a Pod's own credentials.

Its packages import every model and every API that Kubernetes has, which takes half a second and 34 MB in a command
that wants to read one object. So while its own modules are loaded, empty packages stand in for those two, with
the little that the loader names of them; whoever imports the library whole, before or afterwards, has it whole.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import ModuleType
from typing import Any

WHOLE = "kubernetes_asyncio"
MODELS = f"{WHOLE}.client"


@dataclass
class Configuration:
    """What the library's loaders fill in; its own brings urllib3, and takes proxies from the environment."""

    host: str = ""
    ssl_ca_cert: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify_ssl: bool = True
    tls_server_name: str | None = None
    proxy: str | None = None
    api_key: dict[str, Any] = field(default_factory=dict)
    refresh_api_key_hook: Callable[[Any], None] | None = None

    def authorization(self) -> str:
        """Return the Authorization header, "" where there is none; a token file is read again each minute."""
        if self.refresh_api_key_hook is not None:
            self.refresh_api_key_hook(self)
        return str(self.api_key.get("BearerToken") or "").strip()


@contextmanager
def _without_models() -> Iterator[None]:
    """Let modules of the library be imported without their packages. Nothing is done where those are there."""
    found = None if WHOLE in sys.modules else find_spec(WHOLE)
    if found is None or not found.submodule_search_locations:
        yield
        return
    folders = list(found.submodule_search_locations)
    packages = {WHOLE: ModuleType(WHOLE), MODELS: ModuleType(MODELS)}
    packages[WHOLE].__path__ = folders
    packages[MODELS].__path__ = [f"{folder}/client" for folder in folders]
    packages[MODELS].__dict__.update(ApiClient=object, Configuration=Configuration)
    sys.modules.update(packages)
    try:
        yield
    finally:
        for name in packages:
            del sys.modules[name]


with _without_models():
    from kubernetes_asyncio.config.incluster_config import load_incluster_config
    from kubernetes_asyncio.config.kube_config import KubeConfigLoader, KubeConfigMerger

__all__ = ["Configuration", "KubeConfigLoader", "KubeConfigMerger", "load_incluster_config"]
