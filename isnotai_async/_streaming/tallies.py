"""How far a source of sessions was read, and the proof that it is the same source when a stream goes on."""

from __future__ import annotations

from hashlib import blake2b
from typing import NoReturn

from isnotai_async._models.positions import Taken, Target
from isnotai_async.errors import ConfigError


class Tally:
    """Counts the sessions of one source.

    Args:
        resume: What an earlier stream took of it, which has to come first and be the same; or None.
        what: What to call the source in messages.
    """

    def __init__(self, resume: Taken | None = None, *, what: str = "its source") -> None:
        self._resume = resume
        self._what = what
        self._count = 0
        self._digest = blake2b(digest_size=16)

    @property
    def is_behind(self) -> bool:
        """Whether sessions are to be counted that an earlier stream has taken."""
        return self._resume is not None and self._count < self._resume.count

    @property
    def taken(self) -> Taken:
        """What was taken; while it is behind, what the earlier stream took."""
        if self._resume is not None and self.is_behind:
            return self._resume
        return Taken(self._count, self._digest.hexdigest())

    def count(self, target: Target | None) -> None:
        """Count a session that was read from the source.

        Args:
            target: The session; None where the source has ended.

        Raises:
            ConfigError: The source is not the one of the stream that is resumed.
        """
        if target is not None:
            self._count += 1
            # With the lengths before them, no two lists of sessions give the same bytes.
            for text in target:
                data = text.encode(errors="surrogatepass")
                self._digest.update(b"%d:%b" % (len(data), data))
        resume = self._resume
        if resume is None or self._count > resume.count:
            return
        if target is None:
            self._refuse(resume, f"it has only {self._count:,} sessions")
        if self._count == resume.count and self._digest.hexdigest() != resume.digest:
            self._refuse(resume, "they are other sessions, or come in another order")

    def _refuse(self, resume: Taken, reason: str) -> NoReturn:
        raise ConfigError(
            f"the position to resume from has {resume.count:,} sessions taken from {self._what}, and with this "
            f"source {reason}; pass the same sessions in the same order, or start without resume="
        )
