"""Tables of walks and streams: pages in, one Arrow table out, with a bound on its rows."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, Final

from isnotai_async._arrow import BatchBuilder, load_pyarrow
from isnotai_async._models.pages import Page, rows_of
from isnotai_async._models.validation import check_int
from isnotai_async.errors import ConfigError, IsNotAIError

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

MAX_ROWS: Final = 10_000_000
"""Default bound on the rows of a table; so many events take about 1 GB."""

BATCH_ROWS: Final = 50_000
_MOST_ROWS: Final = 2**40


async def collect_table(pages: AsyncIterable[Page[Any]], record: type, max_rows: int | None) -> pa.Table:
    """Read pages into a table. It is whole or not made; an error then has a note about the rows that are dropped.

    Args:
        pages: The pages.
        record: The class of their records.
        max_rows: Most rows of the table; None for no bound.

    Raises:
        ConfigError: There are more rows; or `max_rows` cannot be; or pyarrow is not installed.
    """
    if max_rows is not None:
        check_int(max_rows, "max_rows", 1, _MOST_ROWS)
    builder, batches, done = BatchBuilder(record), list["pa.RecordBatch"](), 0
    try:
        async for page in pages:
            rows = rows_of(page)
            if max_rows is not None and done + builder.rows + len(rows) > max_rows:
                raise ConfigError(
                    f"the table has more than {max_rows:,} rows; pass max_rows= for a larger one (10 million events "
                    "take about 1 GB of memory), or read it in parts: stream.batches(), or export_events to Parquet"
                )
            builder.add(rows, region=page.name, session_id=page.session_id)
            if builder.rows >= BATCH_ROWS:
                done += builder.rows
                batches.append(builder.take())
    except IsNotAIError as error:
        if read := done + builder.rows:
            error.add_note(
                f"no table was made: the {read:,} rows before this error are dropped. To get them, read the list "
                "again from its start; or take them as they come, with stream.batches()"
            )
        raise
    if builder.rows:
        batches.append(builder.take())
    return load_pyarrow().Table.from_batches(batches, schema=builder.schema)
