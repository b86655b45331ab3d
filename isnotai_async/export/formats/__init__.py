"""Formats: pure writers of finished files, and the table that says which one a target gets.

A new format is one module and one row of `FORMATS`. A writer takes batches and a path that names nothing yet, and
makes that file (or folder) complete and durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final

from attrs import evolve, frozen

from isnotai_async.errors import ConfigError, quoted
from isnotai_async.export.batches import Batch
from isnotai_async.export.formats.csv import encode_csv
from isnotai_async.export.formats.jsonl import encode_gzip, encode_jsonl
from isnotai_async.export.formats.parquet import TIMESTAMPS, encode_parquet, encode_parquet_parts
from isnotai_async.export.formats.sqlite import write_sqlite
from isnotai_async.export.system import System

Write = Callable[[Iterable[Batch], Path, System], None]


@frozen(kw_only=True, eq=False, repr=False)
class Format:
    """A format of exports."""

    name: str
    write: Write
    endings: tuple[str, ...]
    needs: str = ""  # a package
    is_folder: bool = False
    timestamps: range | None = None  # that it can hold, or None for all
    variant: str = ""  # options that make other bytes of the same rows, in words

    @property
    def described(self) -> str:
        """Name and variant; what was written as something else is another file."""
        return f"{self.name}{self.variant}"


def _write_parts(batches: Iterable[Batch], path: Path, system: System) -> None:
    system.make_folder(path)
    for number, chunks in enumerate(encode_parquet_parts(batches)):
        system.write_file(path / f"part-{number:06}.parquet", chunks)
    system.sync_folder(path)


def _write_database(batches: Iterable[Batch], path: Path, system: System) -> None:
    write_sqlite(batches, path)
    system.sync_file(path)


def _chunks_of(encode: Callable[[Iterable[Batch]], Iterator[bytes]]) -> Write:
    return lambda batches, path, system: system.write_file(path, encode(batches))


FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        row.name: row
        for row in (
            Format(name="jsonl", write=_chunks_of(encode_jsonl), endings=("jsonl",)),
            Format(name="jsonl.gz", write=_chunks_of(encode_gzip), endings=("jsonl.gz",)),
            Format(name="csv", write=_chunks_of(encode_csv), endings=("csv",)),
            Format(
                name="parquet",
                write=_chunks_of(encode_parquet),
                endings=("parquet",),
                needs="pyarrow",
                timestamps=TIMESTAMPS,
            ),
            Format(name="sqlite", write=_write_database, endings=("sqlite", "sqlite3", "db")),
        )
    }
)


def choose_format(
    target: Path, name: str | None, *, formula_guard: bool = True, bom: bool = False, segments: bool = False
) -> Format:
    """Choose the format of a target.

    Raises:
        ConfigError: The format is not known, needs a package that is not installed, or does not go with an option.
    """
    chosen = _choose_row(target, name)
    if segments and chosen.name != "parquet":
        raise ConfigError(f"segments are for the format parquet, not for {chosen.name}; remove that option")
    if bom and chosen.name != "csv":
        raise ConfigError(f"bom is for the format csv, not for {chosen.name}; remove that option")
    # Only looked for: its import takes a tenth of a second, and this runs on the event loop.
    if chosen.needs and find_spec(chosen.needs) is None:
        raise ConfigError(f"{chosen.name} needs {chosen.needs}: pip install 'isnotai-async[arrow]'")
    if segments:
        return evolve(chosen, write=_write_parts, is_folder=True, variant=" in segments")
    if chosen.name == "csv":
        variant = f"{'' if formula_guard else ' without guard'}{' with a byte order mark' if bom else ''}"
        encode = partial(encode_csv, formula_guard=formula_guard, bom=bom)
        return evolve(chosen, write=_chunks_of(encode), variant=variant)
    return chosen


def _choose_row(target: Path, name: str | None) -> Format:
    by_ending = _find_by_ending(target)
    chosen = FORMATS.get(name) if name is not None else by_ending
    if chosen is None:
        known = ", ".join(FORMATS)
        if name is not None:
            raise ConfigError(f"unknown format {quoted(name)}; the formats are: {known}")
        raise ConfigError(
            f"the ending of {quoted(target.name)} is not that of a format; end it in .{', .'.join(FORMATS)}, or pass "
            "format= (--format)"
        )
    if by_ending is not None and by_ending.name != chosen.name:
        raise ConfigError(
            f"{quoted(target.name)} has the ending of the format {by_ending.name}, and the format is {chosen.name}; "
            "change one of them"
        )
    return chosen


def _find_by_ending(target: Path) -> Format | None:
    name = target.name.lower()
    found = (row for row in FORMATS.values() if name.endswith(tuple(f".{ending}" for ending in row.endings)))
    return next(found, None)
