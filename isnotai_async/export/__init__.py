"""Pages in, files out, durably. It never meets HTTP: it takes a stream of pages, and whoever opens one."""

from isnotai_async.export.estimate import ExportEstimate, estimate_export
from isnotai_async.export.job import export_events
from isnotai_async.export.report import ExportProgress, ExportReport, SessionFailure
from isnotai_async.export.rows import encode_rows

__all__ = [
    "ExportEstimate",
    "ExportProgress",
    "ExportReport",
    "SessionFailure",
    "encode_rows",
    "estimate_export",
    "export_events",
]
