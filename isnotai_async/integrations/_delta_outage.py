"""Whether the API answers at all: if it does, a session that could not be read has trouble of its own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from isnotai_async._models.stream_positions import SessionRef
from isnotai_async.errors import IsNotAIError
from isnotai_async.export.report import is_for_good
from isnotai_async.export.source import ExportSource

_TRIED: Final = 3  # other sessions that are asked for


async def is_answering(source: ExportSource, others: Sequence[SessionRef]) -> bool:
    """Return whether the API answers for any of a few sessions of a region; if there is none, it is not known to."""
    for target in random.sample(others, min(_TRIED, len(others))):
        try:
            await source.client(target.name).list_events(target.session_id, page_size=1)
        except IsNotAIError as error:
            if is_for_good(error):
                return True
        else:
            return True
    return False
