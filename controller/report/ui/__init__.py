"""The page: a read-only view of all migrations, live, for whoever has no Grafana open.

What is shown is what was decided and told (:mod:`controller.report.status`); nothing is decided or written here, and
a page that cannot be served never keeps the controller from its work.
"""

from __future__ import annotations

from controller.report.ui.feed import Feed
from controller.report.ui.rows import Shown
from controller.report.ui.site import serve_board

__all__ = ["Feed", "Shown", "serve_board"]
