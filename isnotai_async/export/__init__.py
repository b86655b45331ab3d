"""Exports: the events of many sessions as one file or database, durable and resumable. It never meets HTTP."""

from isnotai_async.export.api import export_events
from isnotai_async.export.estimate import ExportEstimate, estimate_export
from isnotai_async.export.formats.jsonl import encode_rows
from isnotai_async.export.report import ExportProgress, ExportReport, SessionFailure
from isnotai_async.export.store_export import export_store
from isnotai_async.export.store_report import StoreReport
from isnotai_async.export.sync import update_store

__all__ = [
    "ExportEstimate",
    "ExportProgress",
    "ExportReport",
    "SessionFailure",
    "StoreReport",
    "encode_rows",
    "estimate_export",
    "export_events",
    "export_store",
    "update_store",
]
