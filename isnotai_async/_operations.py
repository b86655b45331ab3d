"""The API's operations, one method each, by the vendor's operation ids."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from hashlib import blake2b
from typing import Any

from isnotai_async._http import endpoints as wire
from isnotai_async._models.positions import Position, Watermark
from isnotai_async._models.queries import CourseQuery, SessionQuery, UserQuery, UserSessionQuery
from isnotai_async._models.records import Health, Session, SessionDetails, User
from isnotai_async._report_operations import ReportOperations
from isnotai_async._streaming.paginator import Paginator


class Operations(ReportOperations):
    """What can be asked of the API.

    Every method raises the errors of `isnotai_async.errors`: `ConfigError` before anything is sent,
    `TransportError` where nobody answered, `APIError` where the API refused, `DecodeError` where the answer is not
    what the contract promises.

    Args:
        fetch: Sends a request and reads its answer, within the deadline of a call.
        fetch_unhurried: Likewise without a deadline.
        region: Name of the region that is asked.
        clock: Tells the time of day, to know how far back a tier can see.
    """

    async def health(self) -> Health:
        """Ask whether the API is alive; needs no key.

        Reference page: "Health check".
        """
        return await self._fetch(wire.build_health(), wire.read_health)

    async def get_integration(self) -> Mapping[str, Any]:
        """Return the integration that the key stands for: the best test of a key.

        Reference page: "Get the current integration". Its schema is not public but for ``apiKeyMasked``, so the
        answer comes as a read-only mapping, as the server sent it. If you have answers of the real API, please open
        an issue with one (without data of yours): then it becomes a record.

        Raises:
            AuthenticationError: The key is not known in this region.
        """
        return await self._fetch(wire.build_integration(), wire.read_mapping)

    def list_sessions(
        self,
        *,
        page_size: int | None = None,
        status: str | None = None,
        bot_only: bool | None = None,
        start_date: datetime | date | str | None = None,
        end_date: datetime | date | str | None = None,
        max_items: int | None = None,
        resume: Position | None = None,
    ) -> Paginator[Session]:
        """List the sessions of the key's integration.

        Reference page: "List sessions".

        Args:
            page_size: Sessions a page, from 1; default the server's 50. The tier's cap clamps it.
            status: Only sessions of this status, such as ``"active"`` or ``"closed"``.
            bot_only: True for only sessions with a bot score of at least 0.7.
            start_date: Created at or after: an aware datetime, a date (its first instant, UTC) or ISO 8601 text.
                Before the tier's history window the API answers with an empty page, not with an error.
            end_date: Created at or before: likewise (a date means its last microsecond, UTC).
            max_items: Sessions after which to stop; None for all.
            resume: Position to go on from; the filters have to be those it was made with.

        Returns:
            A `Paginator`: await it for one page, iterate it for sessions, `pages()` for pages.

        Raises:
            ConfigError: At the call, for a value that the API could only refuse or misread.

        Warns:
            IsNotAIWarning: There was no session, and `start_date` lies before the tier's history window.
        """
        query = SessionQuery(
            page_size=page_size, status=status, bot_only=bot_only, start_date=start_date, end_date=end_date
        )
        return self._list(query, wire.read_sessions, _mark_session, max_items=max_items, resume=resume)

    async def get_session(self, session_id: str) -> Session:
        """Return one session.

        Reference page: "Get a session".

        Raises:
            ConfigError: The id is empty, ``.``, ``..``, too long, or has control characters.
            NotFoundError: There is no such session.
        """
        return await self._fetch(wire.build_session(session_id), wire.read_session)

    async def get_session_details(self, session_id: str) -> SessionDetails:
        """Return timeline, event counts and page history of one session.

        Reference page: "Get session details".

        Its counts are for planning; that they equal the listed events is not promised.

        Raises:
            ConfigError: As of `get_session`.
            NotFoundError: There is no such session.
            ServerError: The details are not available now (503).
        """
        return await self._fetch(wire.build_session_details(session_id), wire.read_session_details)

    def list_users(
        self,
        *,
        page_size: int | None = None,
        search: str | None = None,
        max_items: int | None = None,
        resume: Position | None = None,
    ) -> Paginator[User]:
        """List the users of the learning platform.

        Reference page of ``listUsers``.

        Example:
            >>> import anyio
            >>> import isnotai_async as isnotai
            >>> async def main() -> None:
            ...     async with isnotai.Sandbox() as sandbox:
            ...         async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
            ...             async for user in client.list_users(search="souza"):
            ...                 sessions = [session async for session in client.get_user_sessions(user.user_id)]
            ...                 print(user.user_name, user.session_count, len(sessions))
            >>> anyio.run(main)
            Ana Souza 3 3

        Args:
            page_size: Users a page, from 1; default the server's 50. The tier's cap clamps it.
            search: Only users with this in their id or name, in any case.
            max_items: Users after which to stop; None for all.
            resume: Position to go on from; the filters have to be those it was made with.

        Returns:
            A `Paginator`: await it for one page, iterate it for users, `pages()` for pages.

        Raises:
            ConfigError: At the call, for a value that the API could only refuse or misread.
        """
        query = UserQuery(page_size=page_size, search=search)
        return self._list(query, wire.read_users, _mark_user, max_items=max_items, resume=resume)

    def get_user_sessions(
        self,
        user_id: str,
        *,
        page_size: int | None = None,
        max_items: int | None = None,
        resume: Position | None = None,
    ) -> Paginator[Session]:
        """List the sessions of one user.

        Reference page of ``getUserSessions``. The vendor does not publish what its items are; they are taken to be
        those of `list_sessions`.

        Args:
            user_id: Id of the user, as in `Session` and `User`.
            page_size: Sessions a page, from 1; default the server's 50. The tier's cap clamps it.
            max_items: Sessions after which to stop; None for all.
            resume: Position to go on from; user and page size have to be those it was made with.

        Returns:
            A `Paginator`: await it for one page, iterate it for sessions, `pages()` for pages.

        Raises:
            ConfigError: At the call, for a value that the API could only refuse or misread.
        """
        query = UserSessionQuery(user_id=user_id, page_size=page_size)
        return self._list(query, wire.read_sessions, _mark_session, max_items=max_items, resume=resume)

    def list_courses(
        self, *, page_size: int | None = None, max_items: int | None = None, resume: Position | None = None
    ) -> Paginator[Mapping[str, Any]]:
        """List the courses that the addresses of the sessions' pages tell of.

        Reference page of ``listCourses``. The schema of a course is not public, so each comes as a read-only mapping,
        as the server sent it. If you have answers of the real API, please open an issue with one (without data of
        yours): then it becomes a record.

        Args:
            page_size: Courses a page, from 1; default the server's 50. The tier's cap clamps it.
            max_items: Courses after which to stop; None for all.
            resume: Position to go on from; the page size has to be that it was made with. As nothing is known to
                identify a course, one that has changed since in any way counts as another.

        Returns:
            A `Paginator`: await it for one page, iterate it for courses, `pages()` for pages.

        Raises:
            ConfigError: At the call, for a value that the API could only refuse or misread.
        """
        query = CourseQuery(page_size=page_size)
        return self._list(query, wire.read_mappings, _mark_mapping, max_items=max_items, resume=resume)


def _mark_session(session: Session) -> Watermark:
    return int(session.created_at.timestamp() * 1000), session.id


def _mark_user(user: User) -> Watermark:
    return int(user.first_seen.timestamp() * 1000), user.user_id


def _mark_mapping(value: Mapping[str, Any]) -> Watermark:
    # No id and no time is documented: the content stands for the one, and nothing for the other.
    content = json.dumps(value, sort_keys=True, default=dict)
    return 0, blake2b(content.encode(), digest_size=16).hexdigest()
