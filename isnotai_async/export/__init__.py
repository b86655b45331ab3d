"""Exports: the events of many sessions as one file or database, durable and resumable. It never meets HTTP."""

from isnotai_async.export.api import export_events
from isnotai_async.export.estimate import ExportEstimate, estimate_export
from isnotai_async.export.formats.jsonl import encode_rows
from isnotai_async.export.report import ExportProgress, ExportReport, SessionFailure

__all__ = [
    "ExportEstimate",
    "ExportProgress",
    "ExportReport",
    "SessionFailure",
    "encode_rows",
    "estimate_export",
    "export_events",
]
