"""The tolerant half of decoding: reads what differs from the contract in a known way, and notes each deviation.

It is used after the strict half (`converter`, or the typed decoder of `codec`) has failed, so an answer that is as
documented does not pay for it. The rules:

1. A field whose annotation allows None may be null or absent; an array or a map then reads as empty.
2. A whole number may be written as ``1.0`` or ``1e3``, as long as that is exact.
3. A date-time may lack its offset (then it is UTC), its seconds or its time of day. It may have a space for the
   ``T``, an offset without a colon, more than six digits of a fraction (cut) and a 60th second (the next one).
4. Nothing else: ``"7"`` is no number, 1 is no text, and no value is made up. What does not fit raises `Unreadable`.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs

from isnotai_async._http.converter import camel
from isnotai_async._models.deviations import Deviation
from isnotai_async._models.records import Id, Int32, Int64

T = TypeVar("T")

_EXACT: Final = 2**53  # the first whole number after which a double skips some
_MISSING: Final = object()
# Patterns are compiled when an answer needs them.
_DATE_TIME: Final = r"(?a)(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(?::(\d\d)(\.\d+)?)?)? ?([Zz]|[+-]\d\d(?::?\d\d)?)?"


class Unreadable(ValueError):  # noqa: N818 - it never leaves the decoder
    """A value does not fit its annotation in any way.

    Attributes:
        path: JSON path of the value.
    """

    def __init__(self, reason: str, path: str) -> None:
        super().__init__(f"{reason} - at {path}")
        self.path = path


class _Field(NamedTuple):
    name: str
    wire: str
    kind: Any
    is_nullable: bool  # by the contract


@cache
def _fields_of(record: Any) -> tuple[_Field, ...]:  # noqa: ANN401 - mypy takes no TypeVar's type as a key
    hints = get_type_hints(record, include_extras=True)
    known = [field for field in attrs.fields(record) if field.name != "extra"]
    return tuple(
        _Field(field.name, camel(field.name), hints[field.name], field.default is not attrs.NOTHING)
        for field in known
    )


class TolerantReader:
    """Reads JSON values as records, and collects what is not as documented.

    Args:
        deviations: Where to add each deviation.
    """

    def __init__(self, deviations: list[Deviation]) -> None:
        self._deviations = deviations

    def read_record(self, value: object, record: type[T], path: str) -> T:
        """Read an object as a record.

        Args:
            value: What a JSON decoder returned.
            record: The attrs class to make.
            path: JSON path of the value.

        Raises:
            Unreadable: It is no object, or what identifies the record is not there, or a field has another type.
        """
        if not isinstance(value, dict):
            raise _expected("object", value, path)
        fields = _fields_of(cast(Any, record))
        values = {field.name: self._read_field(value, field, path) for field in fields}
        made: Any = record(**values)
        unknown = value.keys() - {field.wire for field in fields}
        if unknown and hasattr(made, "extra"):
            made = attrs.evolve(made, extra={name: value[name] for name in value if name in unknown})
        read: T = made
        return read

    def _read_field(self, value: Mapping[str, Any], field: _Field, path: str) -> Any:  # noqa: ANN401
        inner = value.get(field.wire, _MISSING)
        here = f"{path}.{field.wire}"
        if inner is not _MISSING and inner is not None:
            return self.read(inner, field.kind, here)
        empty = _empty_of(field.kind)
        if empty is _MISSING:
            raise Unreadable(
                "Object missing required field" if inner is _MISSING else "Expected a value, got null", here
            )
        if not field.is_nullable:
            kind = "absent" if inner is _MISSING else "null"
            self.note(here, kind, "the field is absent" if inner is _MISSING else "the field is null")
        return empty

    def read(self, value: Any, kind: Any, path: str) -> Any:  # noqa: ANN401 - JSON in, any type out
        """Read a value that is not null; errors as of `read_record`."""
        if get_origin(kind) in {Union, types.UnionType}:
            kind = next(each for each in get_args(kind) if each is not type(None))
        if get_origin(kind) is tuple:
            return self._read_array(value, get_args(kind)[0], path)
        if get_origin(kind) is Mapping or kind is Mapping:
            return self._read_map(value, get_args(kind)[1], path)
        if attrs.has(kind):
            return self.read_record(value, kind, path)
        return self._read_scalar(value, kind, path)

    def _read_array(self, value: object, kind: Any, path: str) -> tuple[Any, ...]:  # noqa: ANN401
        if not isinstance(value, list):
            raise _expected("array", value, path)
        return tuple(self.read(item, kind, f"{path}[{index}]") for index, item in enumerate(value))

    def _read_map(self, value: object, kind: Any, path: str) -> dict[str, Any]:  # noqa: ANN401
        if not isinstance(value, dict):
            raise _expected("object", value, path)
        found: dict[str, Any] = {}
        for key, item in value.items():
            here = f"{path}[{key!r}]"
            if item is None:
                self.note(here, "null", "the value is null and is left out")
            else:
                found[key] = self.read(item, kind, here)
        return found

    def _read_scalar(self, value: Any, kind: Any, path: str) -> Any:  # noqa: ANN401
        if kind in {int, Int32, Int64}:
            return self._read_int(value, 32 if kind == Int32 else 64, path)
        if kind is float:
            return _read_float(value, path)
        if kind is datetime:
            return self._read_datetime(value, path)
        if kind == Id:
            return _read_id(value, path)
        if type(value) is not kind:
            raise _expected(kind.__name__, value, path)
        return value

    def _read_int(self, value: Any, bits: int, path: str) -> int:  # noqa: ANN401
        if type(value) is float and value.is_integer() and abs(value) < _EXACT:
            self.note(path, "number", "the whole number is written with a fraction or an exponent")
            value = int(value)
        if type(value) is not int:
            raise _expected("int", value, path)
        if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise Unreadable(f"Expected `int` of {bits} bits", path)
        return value

    def _read_datetime(self, value: Any, path: str) -> datetime:  # noqa: ANN401
        if not isinstance(value, str):
            raise _expected("date-time", value, path)
        match = re.fullmatch(_DATE_TIME, value.strip())
        moment = None if match is None else _moment_of(match)
        if match is None or moment is None:
            raise Unreadable("Expected a date-time that exists", path)
        if not (match[5] and match[3]) or not re.fullmatch(_STRICT, value):
            self.note(path, "date-time", "the date-time is not written as in RFC 3339")
        return moment

    def note(self, path: str, kind: Any, text: str) -> None:  # noqa: ANN401 - one of `DeviationKind`
        """Note a deviation."""
        self._deviations.append(Deviation(path, kind, text))


_STRICT: Final = r"(?a)\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:[0-5]\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)"


def _moment_of(match: re.Match[str]) -> datetime | None:
    day, minute, second, fraction, offset = match.groups()
    is_leap = second == "60"
    text = f"{day}T{minute or '00:00'}:{'59' if is_leap else second or '00'}{(fraction or '')[:7]}"
    try:
        moment = datetime.fromisoformat(f"{text}{(offset or 'Z').upper()}").astimezone(UTC)
        return moment.replace(microsecond=0) + timedelta(seconds=1) if is_leap else moment
    except (ValueError, OverflowError):
        return None


def _empty_of(kind: Any) -> Any:  # noqa: ANN401
    """Return what an absent field reads as; `_MISSING` if it has to be there."""
    if get_origin(kind) in {Union, types.UnionType} and type(None) in get_args(kind):
        return None
    if get_origin(kind) is tuple:
        return ()
    return {} if get_origin(kind) is Mapping else _MISSING


def _read_id(value: Any, path: str) -> str:  # noqa: ANN401
    if not isinstance(value, str):
        raise _expected("str", value, path)
    if not value:
        raise Unreadable("Expected an id, got an empty text", path)
    return value


def _read_float(value: Any, path: str) -> float:  # noqa: ANN401
    if type(value) not in {int, float}:
        raise _expected("float", value, path)
    try:
        return float(value)
    except OverflowError:
        raise Unreadable("Expected `float` of 64 bits", path) from None


def _expected(what: str, value: object, path: str) -> Unreadable:
    return Unreadable(f"Expected `{what}`, got `{type(value).__name__}`", path)
