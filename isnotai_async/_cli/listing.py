"""Commands that list: sessions, users, the sessions of a user, courses."""

from __future__ import annotations

from isnotai_async._cli.options import Connection, Json, Limit, PageSize, SessionFilters, list_sessions, open_client
from isnotai_async._cli.output import is_for_people, write_json, write_records, write_table
from isnotai_async._models.records import Session, User

_SESSION_COLUMNS = ("id", "created (UTC)", "status", "bot", "user", "name")
_USER_COLUMNS = ("id", "sessions", "bots", "mean", "max", "risk", "last seen (UTC)", "name")


def _session_row(session: Session) -> tuple[object, ...]:
    score, user = session.bot_score, session.user_id
    return session.id, session.created_at, session.status, score, user, session.user_name


def _user_row(user: User) -> tuple[object, ...]:
    scores = (user.average_bot_score, user.max_bot_score)
    counts = (user.session_count, user.bot_session_count)
    return user.user_id, *counts, *scores, user.risk_level, user.last_seen, user.user_name


async def sessions(
    *,
    filters: SessionFilters = SessionFilters(),
    limit: Limit = None,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """List sessions: a table on a terminal, JSON lines in a pipe."""
    async with open_client(connection) as client:
        walk = list_sessions(client, filters, max_items=limit)
        await write_records(walk, _SESSION_COLUMNS, _session_row, json=json)


async def users(
    *,
    search: str | None = None,
    page_size: PageSize = None,
    limit: Limit = None,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """List the users of the learning platform: a table on a terminal, JSON lines in a pipe.

    Parameters
    ----------
    search
        Part of the id or name, in any case.
    """
    async with open_client(connection) as client:
        walk = client.list_users(search=search, page_size=page_size, max_items=limit)
        await write_records(walk, _USER_COLUMNS, _user_row, json=json)


async def user_sessions(
    user: str,
    /,
    *,
    page_size: PageSize = None,
    limit: Limit = None,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """List the sessions of one user: a table on a terminal, JSON lines in a pipe.

    Parameters
    ----------
    user
        Id of the user, as `isnotai users` lists it.
    """
    async with open_client(connection) as client:
        walk = client.get_user_sessions(user, page_size=page_size, max_items=limit)
        await write_records(walk, _SESSION_COLUMNS, _session_row, json=json)


async def courses(
    *,
    page_size: PageSize = None,
    limit: Limit = None,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """List courses, with whatever fields the API gives them: a table on a terminal, JSON lines in a pipe."""
    async with open_client(connection) as client:
        walk = client.list_courses(page_size=page_size, max_items=limit)
        if not is_for_people(json):
            async for course in walk:
                write_json(course)
            return
        found = [course async for course in walk]
    columns = tuple(dict.fromkeys(name for course in found for name in course))
    write_table(columns, [tuple(course.get(name) for name in columns) for course in found])
