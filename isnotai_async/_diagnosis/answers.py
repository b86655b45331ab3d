"""One answer of each operation: whether it can be read, and how it deviates from the documentation."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, TypeVar

from attrs import define, field

from isnotai_async._client import Client
from isnotai_async._diagnosis.findings import Level
from isnotai_async._notices import DeviationNotice, Notice, capture_notices
from isnotai_async.errors import IsNotAIError, IsNotAIWarning

T = TypeVar("T")

Remark = tuple[Level, str, str]
"""Level, what it is about, and message."""

_PAGE: Final = 100  # as many records as one request can bring


async def ask_each_operation(client: Client) -> list[Remark]:
    """Ask each operation that needs a key once; those of a session or a user with the first that is listed."""
    asker = _Asker()
    with capture_notices(asker.on_notice):
        sessions = await asker.ask("list_sessions", client.list_sessions(page_size=_PAGE))
        if sessions is not None and sessions.data:
            session_id = sessions.data[0].id
            await asker.ask("get_session", client.get_session(session_id))
            await asker.ask("get_session_details", client.get_session_details(session_id))
            await asker.ask("list_events", client.list_events(session_id, page_size=_PAGE))
        users = await asker.ask("list_users", client.list_users(page_size=_PAGE))
        if users is not None and users.data:
            await asker.ask("get_user_sessions", client.get_user_sessions(users.data[0].user_id, page_size=_PAGE))
        await asker.ask("list_courses", client.list_courses(page_size=_PAGE))
        await asker.ask("get_analytics", client.get_analytics())
        await asker.ask("get_stats", client.get_stats())
        await asker.ask("get_usage", client.get_usage())
    return [*asker.remarks, ("ok", "answers", f"{asker.read} of {asker.asked} operations were asked and read")]


@define(eq=False)
class _Asker:
    remarks: list[Remark] = field(factory=list, init=False)
    asked: int = field(default=0, init=False)
    read: int = field(default=0, init=False)

    async def ask(self, operation: str, answer: Awaitable[T]) -> T | None:
        """Await an answer; return an error as a finding's text instead of raising it."""
        self.asked += 1
        try:
            result = await answer
        except IsNotAIError as error:
            self.remarks.append(("trouble", "answers", f"{operation}: {error}"))
            return None
        except IsNotAIWarning:  # raised if the program has made errors of warnings; the notice came before
            return None
        self.read += 1
        return result

    def on_notice(self, notice: Notice) -> None:
        """Note a deviation. A client reports each once, so those that it met before are not among them."""
        if isinstance(notice, DeviationNotice):
            text = f"{notice.operation}: not as documented: {notice.text}, at {notice.path}"
            self.remarks.append(("note", "answers", text))
