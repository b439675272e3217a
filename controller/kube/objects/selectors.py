"""Label selectors, as a Link has them to say which Services it mirrors."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Requirement(msgspec.Struct, frozen=True):
    """One of a selector's ``matchExpressions``."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it as kubectl shows it."""
        if self.operator == "Exists":
            return self.key
        if self.operator == "DoesNotExist":
            return f"!{self.key}"
        return f"{self.key} {self.operator.lower()} ({','.join(self.values)})"

    def admits(self, labels: Mapping[str, str]) -> bool:
        """Return whether these labels meet it; an operator that Kubernetes has not, admits nothing."""
        found = labels.get(self.key)
        return {
            "In": found in self.values,
            "NotIn": found not in self.values,
            "Exists": found is not None,
            "DoesNotExist": found is None,
        }.get(self.operator, False)


class Selector(msgspec.Struct, frozen=True):
    """Labels and requirements that must all be met."""

    labels: tuple[tuple[str, str], ...] = ()
    requirements: tuple[Requirement, ...] = ()

    def __str__(self) -> str:
        """Return it as kubectl shows it; ``<none>`` is the one that admits nothing."""
        parts = [f"{key}={value}" for key, value in self.labels]
        return ",".join(parts + [str(each) for each in self.requirements]) or "<none>"

    def admits(self, labels: Mapping[str, str]) -> bool:
        """Return whether these labels meet it. An empty selector admits nothing: so does the service mirror."""
        if not self.labels and not self.requirements:
            return False
        return all(labels.get(key) == value for key, value in self.labels) and all(
            requirement.admits(labels) for requirement in self.requirements
        )
