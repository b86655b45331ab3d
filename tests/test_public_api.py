"""The public face is pinned: a change of a name or a signature shows as a change of public_api.txt."""

from __future__ import annotations

import isnotai_async
from tests.public_api import PLACE, describe


def test_the_public_face_is_as_it_is_written_down() -> None:
    assert describe().splitlines() == PLACE.read_text(encoding="utf-8").splitlines(), (
        "the public face has changed; if that is meant: python -m tests.public_api"
    )


def test_every_exported_name_is_written_down() -> None:
    lines = PLACE.read_text(encoding="utf-8").splitlines()
    written = {line.split()[1].partition("(")[0].rstrip(":") for line in lines if not line.startswith("async")}
    exported = {f"isnotai_async.{name}" for name in isnotai_async.__all__ if not name.startswith("__")}

    assert exported <= written
