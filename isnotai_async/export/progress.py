"""Shows how far an export or a sync is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from isnotai_async.export.metrics import ExportMetrics
from isnotai_async.export.report import ExportProgress

OnProgress = Callable[[ExportProgress], None]

_logger: Final = logging.getLogger("isnotai_async")


def show_progress(on_progress: OnProgress | None, metrics: ExportMetrics, **counts: Any) -> None:  # noqa: ANN401
    """Call a caller's `on_progress`, if there is one. What it raises is logged and ignored.

    Args:
        on_progress: Called with the progress, or None.
        metrics: What the requests cost.
        counts: The other fields of `ExportProgress`, such as `rows`.
    """
    if on_progress is None:
        return
    names = ("requests", "rate", "quota", "waited", "waiting", "reason", "elapsed")
    progress = ExportProgress(**counts, **{name: getattr(metrics, name) for name in names})
    try:
        on_progress(progress)
    except Exception:  # a broken progress bar must not break the work that it shows
        _logger.exception("on_progress raised; the work continues")
