"""How a decision's writes are made up: which kind, which weights, which version they replace."""

from __future__ import annotations

from dataclasses import replace

from controller.decide.input import Input
from controller.decide.resolve import away_for
from controller.decide.split_choice import kind_of, port_of
from controller.domain import ObservedCluster, Record, SplitKind, WriteSplit


def write_share(
    given: Input,
    cluster: ObservedCluster,
    record: Record,
    share_permille: int,
    *,
    revert: bool = False,
) -> WriteSplit:
    """Return the write that puts this record, and this share of the target, on the split of a cluster."""
    away = away_for(share_permille, is_target=cluster.name == given.state.target)
    return replace(write_away(given, cluster, record, away), revert=revert)


def write_away(
    given: Input, cluster: ObservedCluster, record: Record, away_permille: int
) -> WriteSplit:
    """Return the write that puts this record, and this weight of the mirror, on the split of a cluster."""
    split, key = cluster.split, given.observed.key
    is_route = record.kind is SplitKind.HTTPROUTE
    return WriteSplit(
        cluster=cluster.name,
        key=key,
        kind=record.kind,
        away_permille=away_permille,
        record=record,
        resource_version=split.resource_version if split else None,
        name=split.name if split else key.service,
        port=port_of(given.observed, cluster) if is_route else None,
        carried=split.carried if split else "",
    )


def kind_for(given: Input, cluster: ObservedCluster) -> SplitKind:
    """Return the kind of split of a cluster.

    Where neither kind is served nothing is made: a gate holds that. Only a revert may still write.
    """
    return kind_of(given.observed, given.state, cluster) or SplitKind.TRAFFICSPLIT
