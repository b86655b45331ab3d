"""Opening: what an export finds at its target when it starts, and what it does about it.

With ``resume=False`` a store counts as none, and is removed before the start. "Taken" means that
`if_exists` decides: ``fail`` raises `SinkError`, ``skip`` does nothing and reports that, and ``replace`` continues (a
folder for a file, or a folder with other files in it, raises all the same).

| store | target | decision |
|---|---|---|
| none, or empty | not there | start |
| none, or empty | there | taken; then start |
| this export, the target is its own | same format, sessions failed | read these again; replace the target |
| this export, the target is its own | same format, read again since | finish that; replace the target |
| this export, the target is its own | same format, complete | report; with ``replace`` and a receipt, start |
| this export, the target is its own | of other sessions, which an iterator gave | taken; then start |
| this export, the target is its own | another format | taken; then resume from the rows, or start if it has none |
| this export, else | not there | resume; start if the store has no rows |
| this export, else | there | taken; then the same |
| another export, unfinished, with rows | any | `StoreError` |
| another export, else | not there | start |
| another export, else | there | taken; then start |

An iterator shows its sessions only as it is read. If a list is given to resume what an iterator has started, all
sessions of the store must be in it.

If the source may list more sessions by now, a complete target is taken, as if it were not the export's own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from attrs import field, frozen

from isnotai_async._models.stream_positions import SessionRef
from isnotai_async.errors import ExportError, StoreError, quoted
from isnotai_async.export.identity import Identity, digest_target, find_difference, sum_sessions
from isnotai_async.export.places import shown
from isnotai_async.export.publishing import Publisher
from isnotai_async.export.report import ExportReport, report_from_json
from isnotai_async.export.system import System
from isnotai_async.export.target import IfExists
from isnotai_async.export.work_rows import Totals
from isnotai_async.export.work_store import WorkStore


@frozen(kw_only=True, eq=False, repr=False)
class Opening:
    """The decision about how an export starts."""

    report: ExportReport | None = None  # if there is nothing to do
    totals: Totals = field(factory=Totals)
    only_failed: bool = False  # whether to read just the sessions that have failed
    replace: bool = False
    is_unproven: bool = False  # whether an iterator gave the sessions of the store: those given now may be others


@frozen(kw_only=True, eq=False, repr=False)
class Opener:
    """Opens the store of a target."""

    publisher: Publisher
    identity: Identity
    resume: bool
    if_exists: IfExists

    def open(self) -> Opening:
        """Open the store, and decide how to start.

        Raises:
            SinkError: The target exists, or cannot be written.
            StoreError: The store belongs to another export, or is damaged.
            ExportLockedError: Another export has it.
        """
        store = self.publisher.store
        if not (store.exists and self.resume) and (opening := self._check_target()) is not None:
            return opening
        if not self.resume and store.exists:
            self._discard(store)
        store.open()
        theirs = store.read_identity()
        if theirs is None:
            return self._check_target() or self._start(store)
        self.publisher.target.recover(store.read_receipt("publishing"))
        if (difference := find_difference(self.identity, theirs)) is None:
            return self._resume(store)
        if store.read_totals().rows and store.read_receipt("receipt") is None:
            raise difference
        return self._check_target() or self._start(store)

    def _discard(self, store: WorkStore) -> None:
        """Remove what an earlier run left, damaged or not, unless an export is using it."""
        try:
            store.open()
            self.publisher.target.recover(store.read_receipt("publishing"))
        except StoreError:
            pass  # damaged; it is not needed
        finally:
            store.close()
        store.discard()

    def _start(self, store: WorkStore) -> Opening:
        store.reset(self.identity)
        return Opening(replace=self.if_exists == "replace")

    def _resume(self, store: WorkStore) -> Opening:
        receipt, publishing = store.read_receipt("receipt"), store.read_receipt("publishing")
        totals, target = store.read_totals(), self.publisher.target
        # The newer one first: a run that tries failed sessions again replaces the target that the receipt describes.
        finished = next((each for each in (publishing, receipt) if each is not None and target.is_of(each)), None)
        is_known, given = self.identity["sessions"] is not None, sum_sessions(self.identity["sessions"])
        if finished is not None:
            if given is not None and given != finished["sessions"]:
                there = finished["sessions"]["count"]
                found = (
                    f"has the events of {there:,} session{'' if there == 1 else 's'} that an earlier export was "
                    f"given, not those of the {given['count']:,} given now"
                )
                return self._check_target(found) or self._start(store)
            if finished["format"] != target.format.described:
                found = f"is there as {finished['format']}, not as {target.format.described}"
                return self._check_target(found) or self._continue(totals)
            try:
                report = report_from_json(finished["report"], target.path)
            except (KeyError, TypeError):
                raise store.damaged("facts") from None
            failed = {SessionRef(failure.name, failure.session_id) for failure in report.failures}
            if any(row.state != "done" or row.target in failed for row in store.read_sessions()):
                # A list of ids is read again, for those that cannot be asked for; a listing would cost requests.
                return Opening(totals=totals, only_failed=is_known and given is None, replace=True)
            if is_known and (finished != receipt or self.if_exists != "replace"):
                self.publisher.finish(finished, keep_pages=False)
                return Opening(report=report)
        if (opening := self._check_target()) is not None:
            return opening
        return self._continue(totals)

    def _continue(self, totals: Totals) -> Opening:
        store = self.publisher.store
        if not totals.sessions:  # it has shrunk, or there was nothing to keep
            return self._start(store)
        identity = store.read_identity() or {}
        return Opening(
            totals=totals,
            replace=self.if_exists == "replace",
            is_unproven=identity.get("sessions") is None and self.identity["sessions"] is not None,
        )

    def _check_target(self, found: str = "") -> Opening | None:
        report = self.publisher.target.check(self.if_exists, found)
        return None if report is None else Opening(report=report)


def check_given(store: WorkStore, given: Collection[bytes]) -> None:
    """Check that the sessions of a store, which an iterator gave, are among those given now.

    Raises:
        StoreError: Some are not.
    """
    others = [row.session_id for row in store.read_sessions() if digest_target(row.target) not in given]
    if others:
        raise StoreError(
            f"{shown(store.target)} was started with other sessions, which an iterator gave: {len(others):,} of its "
            f"sessions {'is' if len(others) == 1 else 'are'} not among the {len(given):,} given now (the first: "
            f"{quoted(others[0])}). Give those too, start over with resume=False (--no-resume), or choose "
            "another target"
        )


def find_start(target: Path) -> datetime | None:
    """Return when the unfinished export of a target was started; None if there is none that can be read."""
    store = WorkStore(target, System())
    if not store.exists:
        return None
    try:
        store.open()
        identity = None if store.read_receipt("receipt") else store.read_identity()
    except (ExportError, OSError, sqlite3.Error):
        return None  # the export itself reports what is wrong
    finally:
        store.close()
    return None if identity is None else datetime.fromisoformat(identity["started"])
