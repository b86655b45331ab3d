"""The plan of a job: its sessions, dealt into pieces, and the pieces into slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa  # type: ignore[import-untyped]

from isnotai_async._models.stream_positions import SessionRef
from isnotai_async.errors import DecodeError
from isnotai_async.export.source import Unlisted

PIECE_SESSIONS: Final = 100
SLOTS: Final = 16

SlotPieces = Sequence[Sequence[Sequence[SessionRef]]]
"""By slot its pieces."""


def make_plan(sessions: Sequence[SessionRef]) -> pa.Table:
    """Deal sessions into pieces and slots. Of a listed record without an id, the plan has what is wrong with it."""
    pieces = [number // PIECE_SESSIONS for number in range(len(sessions))]
    ids = [each.session_id for each in sessions]
    return pa.table(
        {
            "slot": pa.array([piece % SLOTS for piece in pieces], pa.int32()),
            "piece": pa.array([piece // SLOTS for piece in pieces], pa.int32()),
            "session_id": pa.array(ids, pa.string()),
            "region": pa.array([each.name for each in sessions], pa.string()),
            "fault": pa.array([str(each.error) if isinstance(each, Unlisted) else None for each in ids], pa.string()),
        }
    )


def list_sessions(plan: pa.Table) -> list[SessionRef]:
    """Return the sessions of a plan."""
    return [_read_session(row) for row in plan.to_pylist()]


def deal(plan: pa.Table) -> SlotPieces:
    """Return the pieces of each slot."""
    slots: list[list[list[SessionRef]]] = [[] for _ in range(SLOTS)]
    order = ("slot", "piece", "region", "session_id")
    for row in sorted(plan.to_pylist(), key=lambda row: [row[name] for name in order]):
        pieces = slots[row["slot"]]
        if row["piece"] == len(pieces):
            pieces.append([])
        pieces[row["piece"]].append(_read_session(row))
    return slots


def _read_session(row: dict[str, Any]) -> SessionRef:
    if row["fault"] is None:
        return SessionRef(row["region"], row["session_id"])
    unlisted = Unlisted(row["session_id"])
    unlisted.error = DecodeError(row["fault"])
    return SessionRef(row["region"], unlisted)
