"""Whether a run may do the job that another run has planned."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from isnotai_async._models.stream_positions import SessionRef
from isnotai_async.errors import APIError, AuthenticationError, IsNotAIError, StoreError, quoted
from isnotai_async.export.source import ExportSource

_PLANNED: Final = ("job", "regions", "filters", "sessions", "schema", "piece", "slots")
_TRIED: Final = 3  # sessions of the plan that a key is tried with
_NOT_YOURS: Final = frozenset({403, 404})


def check_identity(job: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Check that the options are those of the plan.

    Raises:
        StoreError: One is not.
    """
    for name in _PLANNED:
        our, their = ours[name], theirs.get(name)
        if our != their and not (name == "sessions" and None in (our, their)):
            raise StoreError(
                f"the job {quoted(job)} was planned with the {name} {quoted(their)}, and now it is {quoted(our)}; "
                "use those (times as dates, not as 7d), or another name of a job"
            )


def check_sessions(job: str, ours: Collection[SessionRef], theirs: Collection[SessionRef]) -> None:
    """Check that the sessions are those of the plan, which may be of a source that could be read only once.

    Raises:
        StoreError: They are not.
    """
    if others := set(ours) ^ set(theirs):
        raise StoreError(
            f"the job {quoted(job)} was planned with the sessions of another source: {len(theirs):,}, and now "
            f"{len(ours):,}; {len(others):,} are in one of the two only. Use those, or another name of a job"
        )


async def check_account(job: str, source: ExportSource, planned: Sequence[SessionRef]) -> None:
    """Check that the key may read the job's sessions; other trouble with one of them is no verdict.

    Raises:
        AuthenticationError: The key was refused.
        StoreError: Some of them were tried, and it may read none.
    """
    last, statuses = len(planned) - 1, list[int]()
    for number in sorted({last * step // (_TRIED - 1) for step in range(_TRIED)} if planned else ()):
        target = planned[number]
        try:
            await source.client(target.name).get_session(target.session_id)
        except AuthenticationError:
            raise
        except APIError as error:
            if error.status not in _NOT_YOURS:
                return
            statuses.append(error.status)
        except IsNotAIError:
            return
        else:
            return
    if statuses and statuses != [404]:  # a single session may just be gone
        raise StoreError(
            f"this key may read none of the {len(statuses)} sessions that were tried of the job {quoted(job)}: it "
            "was planned with a key of another account, or the sessions are gone; use the key of that account, or "
            "plan the sessions that are left under another job"
        )
