"""Whom Fleets name: by namespace, name and labels, in the cluster that a Service comes from."""

from __future__ import annotations

from typing import Any

import pytest

from controller.decide.fleet.placing import Placement, Seen, place
from controller.domain import Key
from controller.domain.fleet import Fleet, Requirement, Selection, Selector, Wave

KEY = Key("shop", "cart")
HERE = {"legacy": Seen(wanted=True), "eks": Seen(wanted=True)}


def fleet(*selections: Selection, name: str = "f", target: str = "eks") -> Fleet:
    """Return a Fleet with a wave for each of these."""
    waves = tuple(Wave(f"w{n}", n, (one,)) for n, one in enumerate(selections, start=1))
    origin = {"eks": "legacy", "legacy": "eks"}.get(target, "")
    return Fleet(name, origin=origin, target=target, waves=waves)


def requirement(operator: Any, *values: str) -> Selector:
    """Return a selector with one requirement of the label kind."""
    return Selector((), (Requirement("kind", operator, frozenset(values)),))


@pytest.mark.parametrize(
    ("selection", "labels", "space", "named"),
    [
        (Selection("shop"), {}, {}, True),
        (Selection("tools"), {}, {}, False),
        (Selection("shop", frozenset({"cart"})), {}, {}, True),
        (Selection("shop", frozenset({"price"})), {}, {}, False),
        (Selection(), {}, {}, True),
        (Selection(namespaces=Selector((("tier", "low"),))), {}, {"tier": "low"}, True),
        (Selection(namespaces=Selector((("tier", "low"),))), {"tier": "low"}, {}, False),
        (Selection("shop", services=Selector((("kind", "web"),))), {"kind": "web"}, {}, True),
        (Selection("shop", services=Selector((("kind", "web"),))), {"kind": "job"}, {}, False),
        (Selection("shop", services=requirement("In", "web", "api")), {"kind": "api"}, {}, True),
        (Selection("shop", services=requirement("In", "web")), {}, {}, False),
        (Selection("shop", services=requirement("NotIn", "web")), {}, {}, True),
        (Selection("shop", services=requirement("NotIn", "web")), {"kind": "web"}, {}, False),
        (Selection("shop", services=requirement("Exists")), {"kind": ""}, {}, True),
        (Selection("shop", services=requirement("Exists")), {}, {}, False),
        (Selection("shop", services=requirement("DoesNotExist")), {}, {}, True),
        (Selection("shop", services=requirement("DoesNotExist")), {"kind": ""}, {}, False),
    ],
)
def test_a_selection_names_as_kubernetes_selects(
    selection: Selection, labels: dict[str, str], space: dict[str, str], named: bool
) -> None:
    """Namespaces, names and labels all have to fit, and what is not said fits everybody."""
    found = place(KEY, {"legacy": Seen(labels, space)}, [fleet(selection)])
    assert (found.place == ("f", 1)) is named


def test_a_service_is_named_where_it_comes_from() -> None:
    """The labels that count are those in the origin; in the target alone it is named while its split has a record."""
    web = Selection("shop", services=Selector((("kind", "web"),)))
    seen = {"legacy": Seen({"kind": "web"}), "eks": Seen({"kind": "job"})}
    assert place(KEY, seen, [fleet(web)]).is_member
    assert not place(KEY, seen, [fleet(web, target="legacy")]).is_member
    gone = {"eks": Seen({"kind": "web"}, recorded=True)}
    assert place(KEY, gone, [fleet(web)]).is_member
    assert not place(KEY, {"eks": Seen({"kind": "web"})}, [fleet(web)]).places
    assert place(KEY, seen, [fleet(web, target="")]).is_member
    assert place(KEY, {}, [fleet(web, target=""), fleet(web)]) == Placement()


def test_what_is_excluded_or_unfit_is_named_and_no_member() -> None:
    """Who is excluded, in either cluster, or can never be split, is counted with its wave and moves by none."""
    shop = fleet(Selection("shop"))
    taken_out = place(KEY, {**HERE, "eks": Seen(excluded=True)}, [shop])
    assert (taken_out.places, taken_out.excluded, taken_out.place) == ((("f", 1),), True, None)
    headless = place(KEY, {"legacy": Seen(unfit="headless", wanted=True)}, [shop])
    assert (headless.unfit, headless.is_member, headless.wanted) == ("headless", False, False)
    elsewhere = place(KEY, {"legacy": Seen(unfit="headless")}, [fleet(Selection("tools"))])
    assert elsewhere.unfit == ""


def test_who_is_named_twice_has_no_place() -> None:
    """A Service in two waves, or in two Fleets, is a member that has no wave."""
    twice = place(KEY, HERE, [fleet(Selection("shop"), Selection())])
    assert (twice.places, twice.place, twice.is_member) == ((("f", 1), ("f", 2)), None, True)
    two = place(KEY, HERE, [fleet(Selection("shop")), fleet(Selection("shop"), name="g")])
    assert two.places == (("f", 1), ("g", 1))


def test_who_is_wanted_and_not_named_is_known() -> None:
    """A Service that somebody exported or annotated, and that no wave names, is unplaced."""
    found = place(KEY, HERE, [fleet(Selection("tools"))])
    assert (found.places, found.wanted, found.place) == ((), True, None)
