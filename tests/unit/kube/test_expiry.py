"""When credentials end: of tokens, certificates, token files and plugins, and of what is none of them."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controller.kube.api import ClusterAccess
from controller.kube.api.expiry import End
from controller.kube.objects import Resource
from controller.report.metrics import Metrics
from controller.runtime.credentials import watch_ends
from tests.unit.kube.scripted_api import answer, kubeconfig, made_cluster, service, serving
from tests.unit.kube.test_credentials import EXPIRING, LOOPBACK, plugin

AT = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
LAST = datetime(2120, 1, 1, tzinfo=UTC)
"""When the certificate of LOOPBACK ends."""

MADE = """-----BEGIN CERTIFICATE-----
MIIBiDCCAS2gAwIBAgIUKjHMdk/VXdPO5fvKN8UfsQOzvLswCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwObWFkZS1mb3ItdGVzdHMwHhcNMjYxMTI2MjMwNDU2WhcNNDYw
MTI1MjMwNDU2WjAZMRcwFQYDVQQDDA5tYWRlLWZvci10ZXN0czBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABBUXcsT4wdUDUWLDxmTRPnYPEZIfgsOgoZBT9VMEKHXa
E0pLgNk03tGkE46fTOzZz5cCOzXalz48ThjxV0G8vsWjUzBRMB0GA1UdDgQWBBQJ
vKOB/KChU0nvgbgJlfpLzvm+3TAfBgNVHSMEGDAWgBQJvKOB/KChU0nvgbgJlfpL
zvm+3TAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQCGirFnStK+
eeBpF5UGJxwV7N5n6BQ5ClENisZba2hwVgIhAIu9NRq1Dlf0JlzhXqc5VrdXD3bn
Vlk2OXOOB5u8HHoz
-----END CERTIFICATE-----
"""
MADE_ENDS = datetime(2046, 1, 25, 23, 4, 56, tzinfo=UTC)
"""A certificate made for this test, whose key was thrown away, and its end as OpenSSL reads it."""


def token(**claims: object) -> str:
    """A JWT with these claims, unsigned."""
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).decode() for one in ({}, claims)]
    return ".".join([part.rstrip("=") for part in parts] + ["x"])


def test_a_token_ends_when_it_says(tmp_path: Path) -> None:
    """The token of a kubeconfig ends at its exp, and somebody has to renew it, however it was made."""
    user = {"token": token(exp=AT.timestamp(), iat=AT.timestamp() - 86400)}
    end = kubeconfig(tmp_path, "http://x", user).end()
    assert end == End(AT)
    assert end.needs_person(AT - 300 * HOUR)


def test_a_token_file_is_renewed_by_itself(tmp_path: Path) -> None:
    """A projected token, by a path beside the kubeconfig, needs somebody only in the last tenth of its life."""
    (tmp_path / "token").write_text(token(exp=AT.timestamp(), iat=(AT - HOUR).timestamp()) + "\n")
    end = kubeconfig(tmp_path, "http://x", {"tokenFile": "token"}).end()
    assert end == End(AT, AT - HOUR)
    assert not end.needs_person(AT - 0.2 * HOUR)
    assert end.needs_person(AT - 0.09 * HOUR)


@pytest.mark.parametrize(("pem", "ends"), [(MADE, MADE_ENDS), (LOOPBACK.read_text(), LAST)])
def test_a_certificate_ends_at_its_not_after(tmp_path: Path, pem: str, ends: datetime) -> None:
    """A client certificate, inline or in a file, ends when OpenSSL says, before 2050 and, written otherwise, after."""
    (tmp_path / "made.pem").write_text(pem)
    users = (
        {"client-certificate-data": base64.b64encode(pem.encode()).decode()},
        {"client-certificate": "made.pem"},
    )
    for user in users:
        assert kubeconfig(tmp_path, "http://x", user).end() == End(ends)


def test_of_two_the_first_end_counts(tmp_path: Path) -> None:
    """Of a token and a certificate, what ends first is the end."""
    for exp, first in ((AT, AT), (LAST + HOUR, LAST)):
        user = {"token": token(exp=exp.timestamp()), "client-certificate": str(LOOPBACK)}
        assert kubeconfig(tmp_path, "http://x", user).end() == End(first)


@pytest.mark.parametrize(
    "user",
    [
        {},
        {"token": "opaque"},
        {"token": "a.b.c"},
        {"token": token(sub="x")},
        {"token": token(exp="soon")},
        {"token": token(exp=1e300)},
        {"tokenFile": "missing"},
        {"client-certificate-data": base64.b64encode(b"no PEM").decode()},
        {"client-certificate-data": "!"},
        {
            "client-certificate-data": base64.b64encode(
                ssl.DER_cert_to_PEM_cert(bytes.fromhex("3082ffff3003")).encode()
            ).decode()
        },
        {"exec": {"command": "true"}},
        {"username": "jane", "password": "x"},
    ],
)
def test_what_has_no_end_that_can_be_read_has_none(tmp_path: Path, user: dict[str, Any]) -> None:
    """Credentials without a readable end have none, and nothing is raised."""
    assert kubeconfig(tmp_path, "http://x", user).end() is None


def test_a_pods_own_credentials_are_nobodys_to_renew(tmp_path: Path) -> None:
    """Of the Pod's own account, and of a kubeconfig that is gone, no end is told."""
    assert ClusterAccess().end() is None
    assert ClusterAccess(str(tmp_path / "gone")).end() is None


async def test_a_plugins_end_is_that_of_what_it_gave(tmp_path: Path) -> None:
    """A plugin is not run to ask when its credentials end: what it gave last counts, as renewed by itself."""
    async with serving() as server:
        server.always = answer(service("a"))
        access = kubeconfig(tmp_path, server.url, plugin(tmp_path, *EXPIRING))
        async with made_cluster(access, deadline_s=20) as cluster:
            assert await cluster.credentials_end() is None
            await cluster.get(Resource.SERVICES, "n", "a")
            end = await cluster.credentials_end()
    assert end is not None
    assert end.since is not None
    assert 900 < (end.at - end.since).total_seconds() <= 1000
    assert not end.needs_person(end.since)


async def test_an_end_is_shown_as_long_as_there_is_one() -> None:
    """The metric has the end by the file as it stands, and goes with it, as when another credential is written."""
    metrics = Metrics("1")
    looks: asyncio.Queue[End | None] = asyncio.Queue()
    told: asyncio.Queue[datetime | None] = asyncio.Queue()

    class Ending:
        """A cluster whose credentials end when the test says."""

        async def credentials_end(self) -> End | None:
            """Return what the test says next."""
            return await looks.get()

    def tell(cluster: str, at: datetime | None) -> None:
        metrics.clusters.credentials_end(cluster, at)
        told.put_nowait(at)

    task = asyncio.create_task(watch_ends({"eks": Ending()}, tell, lambda: AT - HOUR, look_s=0))
    shown = []
    name = "migrate_controller_peer_credential_expiry_timestamp_seconds"
    for end in (None, End(AT), End(AT, AT - 2 * HOUR), End(AT)):
        looks.put_nowait(end)
        await told.get()
        shown.append(metrics.registry.get_sample_value(name, {"migration_cluster": "eks"}))
    task.cancel()
    assert shown == [None, AT.timestamp(), None, AT.timestamp()]
