"""Pages in, files out. It never meets HTTP: it takes any asynchronous source of pages."""

from isnotai_async.export.jsonl import ExportReport, export_jsonl
from isnotai_async.export.rows import encode_rows

__all__ = ["ExportReport", "encode_rows", "export_jsonl"]
