"""How a decision's writes are made up: which kind, which objects, which weights, which version they replace.

A split may consist of several objects, an HTTPRoute for each port. Each has weights and a record of its own, and
what is to be written of them is one action, so that they move together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from controller.decide.input import Input
from controller.decide.parts import ports_of
from controller.decide.resolve import away_for
from controller.decide.split_choice import kind_of, port_of
from controller.domain import ObservedCluster, Record, Split, SplitKind, WriteSplit


def write_share(
    given: Input,
    cluster: ObservedCluster,
    record: Record,
    share_permille: int,
    *,
    part: Split | None = None,
    revert: bool = False,
) -> WriteSplit:
    """Return the write that puts this record, and this share of the target, on the split of a cluster."""
    away = away_for(share_permille, is_target=cluster.name == given.state.target)
    return replace(write_away(given, cluster, record, away, part=part), revert=revert)


def write_away(
    given: Input,
    cluster: ObservedCluster,
    record: Record,
    away_permille: int,
    *,
    part: Split | None = None,
) -> WriteSplit:
    """Return the write that puts this record, and this weight of the mirror, on the split of a cluster: on the
    one object that it is, or on one ``part`` of it."""
    split, key = part or cluster.split, given.observed.key
    is_route = record.kind is SplitKind.HTTPROUTE
    known = split.port if split else None
    return WriteSplit(
        cluster=cluster.name,
        key=key,
        kind=record.kind,
        away_permille=away_permille,
        record=record,
        resource_version=split.resource_version if split else None,
        name=split.name if split else key.service,
        port=(known or port_of(given.observed, cluster)) if is_route else None,
        carried=split.carried if split else "",
    )


def made_anew(given: Input, cluster: ObservedCluster, write: WriteSplit) -> WriteSplit:
    """Return ``write`` for every object that a cluster's split lacks: where it has none, an HTTPRoute for each port.

    One is named as the Service, where that name is free, the others after their port too: no Service's name has a dot.
    """
    ports = cluster.missing or _every_port(given, cluster, write.kind)
    taken = {split.name for split in (*cluster.splits, *cluster.aside)}
    service, writes = write.key.service, []
    for port in ports:
        name = f"{service}.{port}" if service in taken else service
        taken.add(name)
        writes.append(replace(write, resource_version=None, name=name, port=port, carried=""))
    return together(writes)[0] if writes else write


def _every_port(given: Input, cluster: ObservedCluster, kind: SplitKind) -> tuple[int, ...]:
    if kind is not SplitKind.HTTPROUTE:
        return ()
    spec = given.state.spec
    return tuple(port.number for port in ports_of(given.observed, cluster, spec).moving)


def together(writes: Iterable[WriteSplit]) -> list[WriteSplit]:
    """Return writes of one cluster's objects as one write of its split; nothing where there are none."""
    every = tuple(writes)
    return [replace(every[0], beside=every[1:])] if every else []


def kind_for(given: Input, cluster: ObservedCluster) -> SplitKind:
    """Return the kind of split of a cluster.

    Where neither kind is served nothing is made: a gate holds that. Only a revert may still write.
    """
    return kind_of(given.observed, given.state, cluster) or SplitKind.TRAFFICSPLIT
