"""Exports: the events of many sessions as one file or database, durable and resumable. It never meets HTTP.

One export: `api` checks the options. `opening` decides by what is there, and by the `identity` of the export, how to
start. `runner` takes pages from the stream of a `source`, `tracker` knows where each session stands, and each second
both go into the `work_store` in one transaction. `publishing` writes the `target` from it with one of the `formats`,
gives it its name, and leaves a receipt in the store.

One sync: `sync` lists the sessions of each region (`sync_listing`), chooses by `sync_rules` which to read, and
`sync_reading` reads them into the `event_store`. `store_export` writes a file from it.

Files and databases are used in one `thread`; what goes wrong there is put into words by `trouble`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isnotai_async.export.api import export_events as export_events
    from isnotai_async.export.estimate import ExportEstimate as ExportEstimate
    from isnotai_async.export.estimate import estimate_export as estimate_export
    from isnotai_async.export.formats.jsonl import encode_rows as encode_rows
    from isnotai_async.export.report import ExportProgress as ExportProgress
    from isnotai_async.export.report import ExportReport as ExportReport
    from isnotai_async.export.report import SessionFailure as SessionFailure
    from isnotai_async.export.report import StoreReport as StoreReport
    from isnotai_async.export.store_export import export_store as export_store
    from isnotai_async.export.sync import update_store as update_store

# Imported when they are first asked for: an export does not wait for what only a sync needs, a third of it all.
_NAMES_OF = {
    "api": "export_events",
    "estimate": "ExportEstimate estimate_export",
    "formats.jsonl": "encode_rows",
    "report": "ExportProgress ExportReport SessionFailure StoreReport",
    "store_export": "export_store",
    "sync": "update_store",
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names.split()}

if not TYPE_CHECKING:  # or type checkers would take any name for granted

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is asked for
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        return value


__all__ = sorted(_MODULE_OF)
