"""What boards and rules must agree on with each other."""

from __future__ import annotations

SERVICE = "migration_namespace, migration_service"
"""The labels that name a Service. A scraper writes where it scraped into ``namespace`` and ``service``."""

SHARE_BUCKETS = ("0", "1", "10", "25", "50", "99.9", "100")
"""Upper ends, in percent, of the shares that are counted: the default steps, the soak, and the end."""

WINDOWS = ("5m", "30m", "1h", "6h")
"""Over which the error budget's burn is taken: two alerts of a long and a short one each."""

CHOSEN = (
    "FleetPaused",
    "LineStopped",
    "NoSlot",
    "NoTarget",
    "Paused",
    "WaveWaits",
    "WindowClosed",
)
"""Reasons to stay that a person, the settings or the queue gave: nobody is needed for them (docs/reasons.md)."""

ASKED_BACK = ("Aborted", "FleetRollback", "TargetChanged")
"""Reasons to roll back that are a person's wish, and no finding."""
