"""A cluster whose etcd was restored: versions go back, and what it has is known again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.domain import Key
from controller.kube.api import ClusterAccess, Pace
from controller.kube.api.cluster import Cluster
from controller.kube.objects import Change, Resource
from controller.runtime.cluster_store import ClusterStore
from deploy.stand_ins.apiserver import EmbeddedApi
from tests.unit.kube.scripted_api import LOG, Silent, until

A = Key("default", "service-a")


def split(mirror: int, name: str = "service-a") -> dict[str, Any]:
    """A TrafficSplit of service-a with this weight on the mirror."""
    backends = [
        {"service": "service-a", "weight": 1000 - mirror},
        {"service": "service-a-eks", "weight": mirror},
    ]
    return {
        "apiVersion": "split.smi-spec.io/v1alpha2",
        "kind": "TrafficSplit",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"service": "service-a", "backends": backends},
    }


@pytest.mark.parametrize("written_since", [False, True])
async def test_a_restored_cluster_is_known_as_it_is(tmp_path: Path, written_since: bool) -> None:
    """Weights of before the restore are forgotten for those that stand now, and an object made since is gone."""
    async with EmbeddedApi("legacy") as api:
        api.put(split(100))
        backup = api.store.snapshot()
        for share in (250, 500, 900):
            api.put(split(share))
        api.put(split(1, name="made-since"))
        file = tmp_path / "kubeconfig"
        file.write_text(yaml.safe_dump(api.kubeconfig()))
        known = ClusterStore("legacy", "eks", "cluster.local", "linkerd-multicluster")
        cluster = Cluster(
            "legacy", ClusterAccess(str(file)), meter=Silent(), log=LOG, pace=Pace(silent_s=0.3)
        )

        def apply(change: Change) -> None:
            known.apply(change)

        task = asyncio.create_task(cluster.run(apply, (Resource.TRAFFICSPLITS,)))
        try:
            await until(lambda: [one.away_permille for one in known.splits(A)] == [1, 900])
            api.store.restore(backup)
            if written_since:
                api.put(split(110))
            now = 110 if written_since else 100
            await until(lambda: [one.away_permille for one in known.splits(A)] == [now])
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await cluster.close()
