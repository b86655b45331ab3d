"""The figure that the README shows: CPU per page, client by client."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

CASE: Final = "pages of 100, 32 at once"
_OURS, _FLOOR, _OTHERS = "#1f6f8b", "#b8c4cc", "#8d99a6"


def draw(figures: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> None:
    """Draw one bar for each client, and write it as SVG."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("svg")
    # Text stays text: small, and read by screen readers. The salt and the missing date keep the file the same.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "isnotai", "font.family": "sans-serif"})
    plots: Any = importlib.import_module("matplotlib.pyplot")
    values = sorted(((statistics.median(cpu), name) for name, cpu in figures[CASE].items()), reverse=True)
    figure, axes = plots.subplots(figsize=(7.5, 3.2))
    bars = axes.barh(
        [name for _, name in values], [cpu for cpu, _ in values], color=[_colour(name) for _, name in values]
    )
    axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
    axes.set_xlabel("µs of CPU per page of 100 events, 32 walks at once (less is better)", fontsize=8)
    axes.tick_params(labelsize=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def _colour(name: str) -> str:
    if name.startswith("isnotai_async"):
        return _OURS
    return _FLOOR if "bytes only" in name or "sockets" in name else _OTHERS
