"""Sessions that fail by the thousand: a commit says only what is new."""

from __future__ import annotations

from pathlib import Path

import pytest

from isnotai_async.errors import NotFoundError, ServerError
from isnotai_async.export.books import Books
from tests.event_source import ids
from tests.export.desk import make_desk
from tests.export.test_export import read_ids

FAILING = 300


@pytest.mark.parametrize("error", [ServerError("down", status=503), NotFoundError("gone", status=404)], ids=str)
async def test_a_commit_looks_at_what_has_changed_and_not_at_all_that_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    desk, looked, target = (
        make_desk({f"f{n}": 1 for n in range(FAILING)} | {"big": 300}),
        list[int](),
        tmp_path / "o.jsonl",
    )
    take_change = Books.change

    def count(books: Books) -> object:
        books._look()
        looked.append(len(books._moved))
        return take_change(books)

    def fail(session_id: str, _: str | None) -> None:
        if session_id != "big":
            raise error

    desk.source.fail = fail
    monkeypatch.setattr(Books, "change", count)
    report = await desk.export(target, on_error="collect", concurrency=16)

    assert len(report.failures) == FAILING
    assert len(looked) > 20
    assert sum(looked) < 2 * FAILING + 2 * len(looked)
    assert report.is_complete == isinstance(error, NotFoundError)
    desk.source.fail = lambda *_: None
    desk.source.requests.clear()
    if not report.is_complete:
        report = await desk.export(target, on_error="collect")
        assert len(desk.source.requests) == FAILING  # what is through is not asked for again
        assert not report.failures
        assert sorted(read_ids(target)) == sorted(ids(row for rows in desk.source.sessions.values() for row in rows))
