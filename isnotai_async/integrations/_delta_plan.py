"""The plan of a job: its sessions, dealt into pieces, and the pieces into slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from isnotai_async._models.stream_positions import SessionRef

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

PIECE_SESSIONS: Final = 100
SLOTS: Final = 16

SlotPieces = Sequence[Sequence[Sequence[SessionRef]]]
"""By slot its pieces."""


def make_plan(sessions: Sequence[SessionRef]) -> pa.Table:
    """Deal sessions into pieces and slots."""
    import pyarrow as pa

    pieces = [number // PIECE_SESSIONS for number in range(len(sessions))]
    return pa.table(
        {
            "slot": pa.array([piece % SLOTS for piece in pieces], pa.int32()),
            "piece": pa.array([piece // SLOTS for piece in pieces], pa.int32()),
            "session_id": pa.array([each.session_id for each in sessions], pa.string()),
            "region": pa.array([each.name for each in sessions], pa.string()),
        }
    )


def deal(plan: pa.Table) -> SlotPieces:
    """Return the pieces of each slot."""
    slots: list[list[list[SessionRef]]] = [[] for _ in range(SLOTS)]
    order = ("slot", "piece", "region", "session_id")
    for row in sorted(plan.to_pylist(), key=lambda row: [row[name] for name in order]):
        pieces = slots[row["slot"]]
        if row["piece"] == len(pieces):
            pieces.append([])
        pieces[row["piece"]].append(SessionRef(row["region"], row["session_id"]))
    return slots
