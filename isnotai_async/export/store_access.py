"""The way from the event loop to a store: its thread, and its errors in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from attrs import define, field

from isnotai_async.export.event_store import EventStore
from isnotai_async.export.store_file import explain_error
from isnotai_async.export.thread import FileThread

T = TypeVar("T")
P = ParamSpec("P")


@define(eq=False)
class StoreAccess:
    """Calls the methods of a store in the store's thread.

    Attributes:
        store: The store.
        thread: Its thread. A call that was started is done to its end, also if its task is cancelled.
        trouble: The error of a call, if one has failed. Then nothing more must be written.
    """

    store: EventStore
    thread: FileThread
    trouble: Exception | None = field(default=None, init=False)

    async def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the store.

        Raises:
            ExportError: The store cannot be read or written.
        """
        try:
            return await self.thread.run(call, *args, **kwargs)
        except (sqlite3.Error, OSError) as error:
            file = self.store.file
            self.trouble = explain_error(error, file.path, file.patience)
        except Exception as error:
            self.trouble = error
            raise
        raise self.trouble
