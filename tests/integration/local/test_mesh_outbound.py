"""One proxy's decisions, with time as an argument: no sockets here."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.stand_ins.mesh.config import ClusterConfig, Endpoint, Policy
from deploy.stand_ins.mesh.gateway import NAMESPACE
from deploy.stand_ins.mesh.objects import Pod, service_object, slice_object
from deploy.stand_ins.mesh.outbound import (
    PIN_CREATED_DELAY,
    PIN_REMOVED_DELAY,
    ROUTE_DELAY,
    SPLIT_DELAY,
    Decision,
    Delay,
    Drop,
    Hold,
    Outbound,
    Refuse,
)
from tests.integration.local.mesh_pair import (
    WEB,
    delete_split,
    profile_object,
    route_object,
    split_object,
    write_split,
)
from tests.integration.local.test_mesh_tables import FACTS

LOCAL = Endpoint("10.1.0.1", 8080)
AWAY = Endpoint("10.1.0.2", 8080)
ALL_AWAY = [("web", 0), ("web-eks", 1000)]
ALL_LOCAL = [("web", 1000), ("web-eks", 0)]


class World:
    """A cluster whose mirror is a plain Service, and one proxy in it. Time moves by hand."""

    def __init__(self, *, gateway: bool = False) -> None:
        self.now = 100.0
        self.config = ClusterConfig()
        for name, endpoint in (("web", LOCAL), ("web-eks", AWAY)):
            self.config.put("Service", service_object(("default", name)))
            self.fill(name, endpoint)
        self.changes: list[float] = []
        self.outbound = Outbound(
            self.config,
            namespace=NAMESPACE if gateway else "default",
            sees_new_splits=gateway,
            now=lambda: self.now,
            rng=random.Random(3),
            on_change=self.changes.append,
        )

    def fill(self, name: str, *endpoints: Endpoint) -> None:
        """Return a Service these pods."""
        pods = [Pod(e.ip, e.ip) for e in endpoints]
        self.config.put("EndpointSlice", slice_object(("default", name), pods, 8080))

    def split(self, weights: Sequence[tuple[str, float]], service: str = "web") -> None:
        """Write the split."""
        write_split(self.config, split_object(weights, service))

    def unsplit(self) -> None:
        """Delete the split."""
        delete_split(self.config)

    def ask(self, after: float = 0.2) -> Decision:
        """Decide for a request that comes so many seconds later."""
        self.now += after
        return self.outbound.decide(WEB, 80, self.now)[1]

    def keep_busy(self, seconds: float) -> Decision:
        """Ask every second."""
        decision = self.ask(1.0)
        for _ in range(round(seconds) - 1):
            decision = self.ask(1.0)
        return decision


# --- who sees a split (facts 10 to 13)


def test_a_busy_client_ignores_a_new_split_until_five_seconds_idle() -> None:
    """It goes on locally however long it is busy, and obeys after 5 s without a request."""
    assert FACTS["new_split_on_busy_client"]["trafficsplit"] == "ignored until 5 s idle"
    world = World()
    assert world.ask() == LOCAL
    world.split(ALL_AWAY)
    assert world.keep_busy(60) == LOCAL
    assert world.ask(4.99) == LOCAL
    assert world.ask(5.0) == AWAY


def test_a_split_that_was_there_at_first_use_is_followed_at_once() -> None:
    """A changed split holds after its propagation."""
    world = World()
    world.split(ALL_LOCAL)
    assert world.ask() == LOCAL
    world.split(ALL_AWAY)
    assert world.ask() == AWAY


def test_a_deleted_split_sends_home_at_once_and_remade_is_live() -> None:
    """Deleting acts on a busy client, and so does making it again (fact 12)."""
    world = World()
    world.split(ALL_AWAY)
    assert world.ask() == AWAY
    world.unsplit()
    assert world.ask() == LOCAL
    world.split(ALL_AWAY)
    assert world.ask() == AWAY


def test_a_profile_with_a_route_makes_a_later_split_live() -> None:
    """Where one was there before the first use, a busy client follows a new split (fact 11)."""
    world = World()
    world.config.put("ServiceProfile", profile_object("default", routes=[{"name": "all"}]))
    assert world.ask() == LOCAL
    world.split(ALL_AWAY)
    assert world.ask() == AWAY


def test_an_empty_profile_beside_the_service_does_not() -> None:
    """Only a route makes the difference: without one a new split is ignored."""
    world = World()
    world.config.put("ServiceProfile", profile_object("default"))
    assert world.ask() == LOCAL
    world.split(ALL_AWAY)
    assert world.ask() == LOCAL


def test_a_new_route_is_live_on_a_busy_client() -> None:
    """A new HTTPRoute, and each change of it, holds after its propagation (facts 10, 11)."""
    assert FACTS["new_split_on_busy_client"]["httproute"] == "live"
    world = World()
    assert world.ask() == LOCAL
    world.config.put("HTTPRoute", route_object(ALL_AWAY))
    assert world.ask() == AWAY
    world.config.put("HTTPRoute", route_object(ALL_LOCAL))
    assert world.ask() == LOCAL
    world.config.put("HTTPRoute", route_object([]))
    assert world.ask() == LOCAL
    world.config.drop("HTTPRoute", WEB)
    assert world.ask() == LOCAL


def test_a_gateway_ignores_routes() -> None:
    """A gateway uses local backends whatever a route says (fact 9)."""
    world = World(gateway=True)
    world.config.put("HTTPRoute", route_object(ALL_AWAY))
    assert world.ask() == LOCAL


def test_a_client_that_follows_a_split_ignores_a_route_until_idle() -> None:
    """The split wins; deleted, its callers go local at once and follow the route after 5 s idle (fact 12)."""
    world = World()
    world.split(ALL_LOCAL)
    assert world.ask() == LOCAL
    world.config.put("HTTPRoute", route_object(ALL_AWAY))
    assert world.keep_busy(10) == LOCAL
    world.unsplit()
    assert world.keep_busy(60) == LOCAL
    assert world.ask(5.0) == AWAY


def test_a_client_that_follows_a_route_ignores_a_new_split_until_idle() -> None:
    """Which of the two a client follows is decided at its first use of the name (fact 11)."""
    world = World()
    world.config.put("HTTPRoute", route_object(ALL_AWAY))
    assert world.ask() == AWAY
    world.split(ALL_LOCAL)
    assert world.keep_busy(60) == AWAY
    assert world.ask(5.0) == LOCAL


def test_what_a_profile_says_beats_a_route() -> None:
    """A ServiceProfile with a route hides an HTTPRoute, and one with overrides is followed instead (fact 13)."""
    world = World()
    world.config.put("HTTPRoute", route_object(ALL_AWAY))
    world.config.put("ServiceProfile", profile_object("default", routes=[{"name": "all"}]))
    assert world.ask() == LOCAL
    world = World()
    world.config.put("HTTPRoute", route_object(ALL_LOCAL))
    overrides = [{"authority": "web-eks.default.svc.cluster.local.:80", "weight": "1"}]
    world.config.put("ServiceProfile", profile_object("default", dstOverrides=overrides))
    assert world.ask() == AWAY


@pytest.mark.parametrize("busy", [False, True])
def test_a_route_of_zeros_drops_every_connection(busy: bool) -> None:
    """All weights zero end the task of the name: it serves nobody, good weights later included (fact 15)."""
    world = World()
    world.config.put("HTTPRoute", route_object(ALL_LOCAL))
    if busy:
        assert world.ask() == LOCAL
    world.config.put("HTTPRoute", route_object([("web", 0), ("web-eks", 0)]))
    assert isinstance(world.ask(), Drop)
    world.config.put("HTTPRoute", route_object(ALL_LOCAL))
    assert isinstance(world.ask(), Drop)


def test_gateways_see_new_splits_while_busy() -> None:
    """A new split reaches a busy gateway at once (fact 11)."""
    world = World(gateway=True)
    assert world.ask() == LOCAL
    world.split(ALL_AWAY)
    assert world.ask() == AWAY


def test_a_pin_holds_against_every_split_and_its_end_gives_them_back() -> None:
    """A pinned gateway uses local backends; unpinned, it follows the split again (facts 7, 8)."""
    world = World(gateway=True)
    world.split(ALL_AWAY)
    assert world.ask() == AWAY
    world.config.put("ServiceProfile", profile_object(NAMESPACE))
    assert world.ask() == LOCAL
    world.config.drop("ServiceProfile", (NAMESPACE, "web.default.svc.cluster.local"))
    assert world.ask() == AWAY


def test_a_split_with_an_fqdn_service_changes_nothing() -> None:
    """The adaptor writes a profile that nobody reads (fact 17)."""
    world = World()
    world.split(ALL_AWAY, service="web.default.svc.cluster.local")
    assert world.ask() == LOCAL


# --- how late it is seen


@pytest.mark.parametrize(
    ("delay", "least", "median", "most"),
    [
        (SPLIT_DELAY, *sorted(FACTS["propagation_ms"]["trafficsplit"]["first_at_new"])),
        (ROUTE_DELAY, *sorted(FACTS["propagation_ms"]["httproute"]["first_at_new"])),
        (PIN_CREATED_DELAY, 0, FACTS["propagation_ms"]["pin"]["created_median"], 95),
        (PIN_REMOVED_DELAY, 0, FACTS["propagation_ms"]["pin"]["removed_median"], 39),
    ],
)
def test_delays_are_those_measured(delay: Delay, least: float, median: float, most: float) -> None:
    """Draws lie between the least and the greatest that was measured, half below the median."""
    rng = random.Random(5)
    draws = sorted(delay.draw(rng) * 1000 for _ in range(4000))
    assert draws[0] >= least
    assert draws[-1] <= most
    assert abs(sum(d <= median for d in draws) - 2000) <= 3 * (4000 * 0.5 * 0.5) ** 0.5


def test_a_change_holds_from_its_time_on_and_not_before() -> None:
    """Until the drawn moment the old weights serve, from then on the new ones."""
    world = World()
    world.split(ALL_LOCAL)
    world.ask()
    world.split(ALL_AWAY)
    (due,) = world.changes
    assert 0.018 <= due - world.now <= 0.045
    assert world.ask(due - world.now - 0.001) == LOCAL
    world.now = due
    assert world.ask(0.0) == AWAY


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20))
def test_the_last_of_many_changes_wins(shares: list[int]) -> None:
    """However the delays fall, changes do not overtake each other."""
    world = World()
    world.split(ALL_LOCAL)
    world.ask()
    for share in shares:
        world.split([("web", 1000 - share), ("web-eks", share)])
    final = {world.ask() for _ in range(20)}
    if shares[-1] in {0, 1000}:
        assert final == {AWAY if shares[-1] else LOCAL}
    assert world.changes == sorted(world.changes)


# --- weights (fact 15)


def test_zero_weights_serve_locally() -> None:
    """All weights zero: the local Service serves, and a good write later is obeyed."""
    world = World()
    world.split(ALL_AWAY)
    assert world.ask() == AWAY
    world.split([("web", 0), ("web-eks", 0)])
    assert world.ask() == LOCAL
    world.split(ALL_AWAY)
    assert world.ask() == AWAY


def test_a_proxy_that_starts_on_zero_weights_is_stuck() -> None:
    """It serves locally and does not hear of good weights until it was idle."""
    world = World()
    world.split([("web", 0), ("web-eks", 0)])
    assert world.ask() == LOCAL
    world.split(ALL_AWAY)
    assert world.keep_busy(20) == LOCAL
    assert world.ask(5.0) == AWAY


@pytest.mark.parametrize(
    "bad", [[("web", 1001), ("web-eks", -1)], [("web", 400_000), ("web-eks", 400_000)]]
)
def test_a_bad_weight_freezes_busy_proxies_and_stops_new_ones(
    bad: list[tuple[str, float]],
) -> None:
    """Busy ones keep the old weights and ignore good ones; a new one drops every connection."""
    world, late = World(), World()
    for w in (world, late):
        w.split(ALL_AWAY)
    assert world.ask() == AWAY
    for w in (world, late):
        w.split(bad)
    assert world.ask() == AWAY
    assert late.ask() == Drop()
    for w in (world, late):
        w.split(ALL_LOCAL)
    assert world.keep_busy(60) == AWAY
    assert late.ask() == LOCAL
    assert world.ask(5.0) == LOCAL


def test_a_backend_as_fqdn_is_500_for_everything() -> None:
    """Not only for that backend's share (fact 17)."""
    world = World()
    world.split([("web", 999), ("web-eks.default.svc.cluster.local", 1)])
    answers = {world.ask() for _ in range(100)}
    assert {a.status for a in answers if isinstance(a, Refuse)} == {500}
    assert len(answers) == 1


def test_shares_are_the_weights() -> None:
    """Per mille weights give their share, here within three standard deviations."""
    world = World()
    world.split([("web", 900), ("web-eks", 100)])
    counts = Counter(world.ask(0.001) for _ in range(10_000))
    assert abs(counts[AWAY] - 1000) <= 3 * (10_000 * 0.1 * 0.9) ** 0.5


# --- backends without endpoints (facts 16, 19)


def test_an_empty_backend_holds_its_share_three_seconds_and_is_then_skipped() -> None:
    """Its requests wait for the end of the 3 s; then the backend with weight above zero has all."""
    world = World()
    world.split([("web", 1), ("web-eks", 999)])
    world.ask()
    world.fill("web-eks")
    world.now += 0.2
    backend, first = world.outbound.decide(WEB, 80, world.now)
    assert first == Hold(world.now + FACTS["empty_backend"]["first_s_504"])
    began = world.now
    assert world.ask(2.99) == Hold(began + 3.0)
    assert backend is not None
    held = backend.next(began + 3.0, began)
    assert isinstance(held, Refuse)
    assert held.status == 504
    world.now = began + 3.0
    assert {world.ask(0.01) for _ in range(200)} == {LOCAL}


def test_a_backend_of_weight_zero_is_no_help() -> None:
    """With none left that has a weight above zero the answer is 503."""
    world = World()
    world.split(ALL_AWAY)
    world.fill("web-eks")
    world.ask()
    last = world.ask(3.0)
    assert isinstance(last, Refuse)
    assert last.status == 503


@pytest.mark.parametrize("how", ["emptied", "service deleted"])
def test_a_plain_service_without_pods_is_504_then_503(how: str) -> None:
    """The same without a split, whether its slices are empty or the Service is missing."""
    world = World()
    if how == "emptied":
        world.fill("web")
    else:
        world.config.drop("Service", WEB)
    assert isinstance(world.ask(), Hold)
    last = world.ask(3.0)
    assert isinstance(last, Refuse)
    assert last.status == 503


def test_a_backend_that_comes_back_is_used_at_once() -> None:
    """Skipped or held, an endpoint ends it, and the 3 s begin anew the next time."""
    world = World()
    world.split([("web", 1), ("web-eks", 999)])
    world.fill("web-eks")
    world.ask()
    assert world.ask(3.0) == LOCAL
    world.fill("web-eks", AWAY)
    assert world.ask() == AWAY
    world.fill("web-eks")
    assert isinstance(world.ask(), Hold)


def test_pods_are_asked_in_turn_and_dead_ones_left_out() -> None:
    """Round robin over ready addresses; one that cannot be reached is skipped until it can."""
    world = World()
    world.fill("web", LOCAL, AWAY)
    assert Counter(world.ask() for _ in range(10)) == {LOCAL: 5, AWAY: 5}
    world.outbound.mark_dead(AWAY)
    assert {world.ask() for _ in range(10)} == {LOCAL}
    assert world.outbound.wants(AWAY, world.now)
    world.outbound.mark_alive(AWAY)
    assert Counter(world.ask() for _ in range(10)) == {LOCAL: 5, AWAY: 5}
    assert not world.outbound.wants(AWAY, world.now + 5.0)


def test_a_policy_without_objects_is_plain() -> None:
    """No split, no profile: local."""
    assert World().config.policy(WEB, "default") == Policy()
