"""Formats: which one a target gets, and the sink that writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from isnotai_async.errors import ConfigError, SinkError, quoted
from isnotai_async.export.encoding import CSV, GzipJSONLines, JSONLines
from isnotai_async.export.files import Files
from isnotai_async.export.publishing import shown
from isnotai_async.export.rows import SCHEMA_VERSION
from isnotai_async.export.sinks import Sink
from isnotai_async.export.text import TextSink

FORMATS: Final = ("jsonl", "jsonl.gz", "csv", "parquet")


@frozen
class Format:
    """How an export is written.

    Attributes:
        name: One of `FORMATS`.
        formula_guard: Of CSV: whether strings that a spreadsheet would run get a ``'`` before them.
        segments: Of Parquet: whether the target is a folder of files.
    """

    name: str
    formula_guard: bool = True
    segments: bool = False

    @property
    def identity(self) -> Mapping[str, Any]:
        """What has to be the same when an export goes on."""
        options: dict[str, Any] = {"format": self.name, "schema": SCHEMA_VERSION}
        if self.name == "csv":
            options["formula_guard"] = self.formula_guard
        if self.name == "parquet":
            options["segments"] = self.segments
        return options

    def open_sink(self, files: Files, target: Path) -> Sink:
        """Return the sink for a target; nothing is done to the disk yet.

        Raises:
            ConfigError: A package that it needs is not installed.
        """
        if self.name == "parquet":
            from isnotai_async.export.parquet import ParquetSink  # it needs pyarrow, an extra

            return ParquetSink(files, target, segments=self.segments)
        encodings: dict[str, Callable[[], JSONLines | GzipJSONLines | CSV]] = {
            "jsonl": JSONLines,
            "jsonl.gz": GzipJSONLines,
            "csv": lambda: CSV(formula_guard=self.formula_guard),
        }
        return TextSink(files, target, encodings[self.name]())


def choose_format(target: Path, name: str | None, *, formula_guard: bool = True, segments: bool = False) -> Format:
    """Choose the format of a target.

    Args:
        target: The target, whose ending tells.
        name: The format, where it does not; or None.
        formula_guard: As of `Format`.
        segments: As of `Format`.

    Raises:
        ConfigError: Neither tells, or the options contradict the format.
        SinkError: Neither tells, and the target is a folder.
    """
    if not target.name or "\0" in str(target):
        raise ConfigError(f"{quoted(str(target))} is no name of a file to write into")
    if name is None:
        name = next((known for known in FORMATS if target.name.lower().endswith(f".{known}")), None)
    if name is None and target.is_dir():
        raise SinkError(f"{shown(target)} is a directory; name a file to write into")
    if name is None:
        raise ConfigError(
            f"cannot tell the format of {shown(target)} by its ending; name it .{', .'.join(FORMATS)}, "
            "or pass format= (--format)"
        )
    if name not in FORMATS:
        raise ConfigError(f"unknown format {quoted(name)}; the formats are: {', '.join(FORMATS)}")
    if segments and name != "parquet":
        raise ConfigError(f"segments belong to the format parquet, and this is {name}; leave them out")
    return Format(name, formula_guard, segments)
