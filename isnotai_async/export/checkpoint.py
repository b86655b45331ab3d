"""The checkpoint: what the records of a journal add up to. It knows no disk and no clock.

There are three kinds of records. The first says which export it is; the next ones say what each commit changed; and
the last may say that nothing is left but to give the target its name.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

from attrs import astuple, define, field

from isnotai_async._models.positions import Position, Target, Unfinished
from isnotai_async.errors import CheckpointError, ConfigError
from isnotai_async.export.journal import Record
from isnotai_async.export.report import SessionFailure
from isnotai_async.export.sinks import Mark

DIGEST_BYTES: Final = 16

Identity = Mapping[str, Any]


def digest_target(target: Target) -> bytes:
    """Return the digest of a session: a million of them have to fit into memory."""
    name, session_id = (text.encode(errors="surrogatepass") for text in target)
    return blake2b(b"%d:%b%b" % (len(name), name, session_id), digest_size=DIGEST_BYTES).digest()


@define(kw_only=True)
class Checkpoint:
    """What is committed.

    Attributes:
        identity: Which export it is.
        mark: How far the sink is.
        rows: Rows written.
        taken: Digests of the sessions that were begun, one behind the other.
        unfinished: Those that are not through, and where they stand.
        failed: Those that will not be asked for again.
        restarted: Unfinished ones whose cursor had expired: rows of theirs may come a second time.
        witnesses: By name, a session that was read to its end.
        is_done: Whether the file is finished but for its name.
    """

    identity: Identity
    mark: Mark
    rows: int = 0
    taken: bytearray = field(factory=bytearray)
    unfinished: dict[Target, Unfinished] = field(factory=dict)
    failed: dict[Target, SessionFailure] = field(factory=dict)
    restarted: dict[Target, None] = field(factory=dict)
    witnesses: dict[str, str] = field(factory=dict)
    is_done: bool = False

    @classmethod
    def read(cls, records: Iterable[Record]) -> Checkpoint:
        """Add up the records of a journal.

        Raises:
            CheckpointError: They make no sense, though they are whole: another version has written them.
        """
        try:
            begin, first, *others = records
            checkpoint = cls(identity=begin["begin"], mark=first["mark"])
            for record in (first, *others):
                checkpoint.apply(record)
        except (KeyError, TypeError, ValueError, AttributeError, ConfigError):
            raise CheckpointError(
                "the checkpoint is not of this version of the package; finish with the version that began it, or "
                "start over with resume=False (--no-resume)"
            ) from None
        return checkpoint

    def records(self) -> Iterator[Record]:
        """Return the fewest records that add up to this."""
        yield {"begin": self.identity}
        yield commit_record(
            mark=self.mark,
            rows=self.rows,
            taken=bytes(self.taken),
            moved=self.unfinished.values(),
            failed=self.failed.values(),
            restarted=self.restarted,
            witnesses=self.witnesses,
        )

    def apply(self, record: Record) -> None:
        """Add a record."""
        self.mark = record["mark"]
        if record.get("done"):
            self.is_done = True
            return
        self.rows = record["rows"]
        self.taken += b64decode(record["taken"])
        for name, *walks in record["moved"]:
            unfinished = Unfinished(name, tuple(Position.from_json(walk) for walk in walks))
            self.unfinished[target_of(unfinished)] = unfinished
        self.restarted |= dict.fromkeys(Target(*target) for target in record["restarted"])
        for target in record["gone"]:
            self.unfinished.pop(Target(*target), None)
            self.restarted.pop(Target(*target), None)
        for failure in record["failed"]:
            self.failed[Target(*failure[:2])] = SessionFailure(*failure)
        self.witnesses |= record["witnesses"]

    @property
    def is_worthless(self) -> bool:
        """Whether there is nothing in it that could be lost."""
        return not self.rows and not self.is_done

    @property
    def sessions(self) -> int:
        """How many sessions were begun."""
        return len(self.taken) // DIGEST_BYTES


def target_of(unfinished: Unfinished) -> Target:
    """Return which session it is."""
    return Target(unfinished.name, unfinished.walks[0].session_id or "")


def commit_record(
    *,
    mark: Mark,
    rows: int,
    taken: bytes = b"",
    moved: Iterable[Unfinished] = (),
    gone: Iterable[Target] = (),
    failed: Iterable[SessionFailure] = (),
    restarted: Iterable[Target] = (),
    witnesses: Mapping[str, str] | None = None,
) -> Record:
    """Say what changed since the commit before.

    Args:
        mark: How far the sink is.
        rows: Rows written in all.
        taken: Digests of sessions that were begun.
        moved: Sessions that are not through, where that is news.
        gone: Sessions that were not through, and need not be remembered any more.
        failed: Sessions that will not be asked for again.
        restarted: Sessions whose cursor has expired.
        witnesses: By name, a session that was read to its end.
    """
    return {
        "mark": dict(mark),
        "rows": rows,
        "taken": b64encode(taken).decode(),
        "moved": [[session.name, *(walk.to_json() for walk in session.walks)] for session in moved],
        "gone": [list(target) for target in gone],
        "failed": [list(astuple(failure)) for failure in failed],
        "restarted": [list(target) for target in restarted],
        "witnesses": dict(witnesses or {}),
    }


def done_record(mark: Mark) -> Record:
    """Say that the file is finished but for its name."""
    return {"mark": dict(mark), "done": True}
