"""Reads plain JSON values as records, and notes what is not as documented.

A value as documented gives a record and no note. The rules for all others:

1. A field whose annotation allows None may be null or absent; an array or a map then reads as empty. It is a
   deviation unless the contract calls the field nullable, which its default shows.
2. A whole number may be written as ``1.0`` or ``1e3``, as long as that is exact.
3. A date-time may lack its offset (then it is UTC), its seconds or its time of day. It may have a space for the
   ``T``, an offset without a colon, more than six digits of a fraction (cut) and a 60th second (the next one).
4. Nothing else: ``"7"`` is no number, 1 is no text, and no value is made up. What does not fit raises `Unreadable`.

How a class of records is read is found out once, from its annotations. Field names are the API's camelCase forms of
the attributes.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any, Final, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs

from isnotai_async._models.deviations import Deviation
from isnotai_async._models.records import Id, Int32

T = TypeVar("T")

Read = Callable[[Any, str, list[Deviation]], Any]
"""Reads a value that is not null, at a path, and adds what is not as documented to the deviations."""

_EXACT: Final = 2**53  # the first whole number after which a double skips some
_STRICT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:[0-5]\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(?::(\d\d)(\.\d+)?)?)? ?([Zz]|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)


class Unreadable(ValueError):  # noqa: N818 - it never leaves the decoder
    """A value does not fit its annotation in any way.

    Attributes:
        path: JSON path of the value.
    """

    def __init__(self, reason: str, path: str) -> None:
        super().__init__(f"{reason} - at {path}")
        self.path = path


def read_record(value: object, record: type[T], path: str, deviations: list[Deviation]) -> T:
    """Read an object as a record.

    Args:
        value: What a JSON decoder returned.
        record: The attrs class to make.
        path: JSON path of the value.
        deviations: Where to add each deviation.

    Raises:
        Unreadable: It is no object, or what identifies the record is not there, or a field has another type.
    """
    if not isinstance(value, dict):
        raise _expected("object", value, path)
    plan, values = _plan_of(cast(Any, record)), dict[str, Any]()
    for field in plan.fields:
        name, wire, read = field.name, field.wire, field.read
        inner = value.get(wire)
        if inner is None:
            values[name] = _read_nothing(field, f"{path}.{wire}", deviations, is_absent=wire not in value)
        else:
            values[name] = read(inner, f"{path}.{wire}", deviations)
    if plan.has_extra and not value.keys() <= plan.wires:
        values["extra"] = {name: value[name] for name in value if name not in plan.wires}
    return record(**values)


def camel(name: str) -> str:
    """Turn one of our snake_case names into the wire's camelCase."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


class _Field(NamedTuple):
    name: str
    wire: str
    read: Read
    empty: type | None  # makes what it reads as if it is null or absent; None if it has to be there
    is_nullable: bool  # by the contract


class _Plan(NamedTuple):
    fields: tuple[_Field, ...]
    wires: frozenset[str]
    has_extra: bool


@cache
def _plan_of(record: Any) -> _Plan:  # noqa: ANN401 - mypy takes no TypeVar's type as a key
    hints = get_type_hints(record, include_extras=True)
    fields = tuple(
        _Field(each.name, camel(each.name), *_reader_of(hints[each.name]), each.default is not attrs.NOTHING)
        for each in attrs.fields(record)
        if each.name != "extra"
    )
    return _Plan(fields, frozenset(each.wire for each in fields), "extra" in hints)


def _reader_of(kind: Any) -> tuple[Read, type | None]:  # noqa: ANN401 - an annotation
    """Return what reads a value of a type, and the type of what it reads as if it is null or absent."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        return _reader_of(next(each for each in inner if each is not types.NoneType))[0], types.NoneType
    if origin is tuple:
        return partial(_read_array, _reader_of(inner[0])[0]), tuple
    if origin is Mapping:
        return partial(_read_map, _reader_of(inner[1])[0]), dict
    if attrs.has(kind):
        return lambda value, path, deviations: read_record(value, kind, path, deviations), None
    return _SCALARS[kind], None


def _read_nothing(field: _Field, path: str, deviations: list[Deviation], *, is_absent: bool) -> Any:  # noqa: ANN401
    if field.empty is None:
        raise Unreadable("Object missing required field" if is_absent else "Expected a value, got null", path)
    if not field.is_nullable:
        kind: Any = "absent" if is_absent else "null"
        deviations.append(Deviation(path, kind, f"the field is {kind}"))
    return field.empty()


def _read_array(read: Read, value: object, path: str, deviations: list[Deviation]) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _expected("array", value, path)
    return tuple([read(item, f"{path}[{index}]", deviations) for index, item in enumerate(value)])


def _read_map(read: Read, value: object, path: str, deviations: list[Deviation]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _expected("object", value, path)
    found: dict[str, Any] = {}
    for key, item in value.items():
        here = f"{path}[{key!r}]"
        if item is None:
            deviations.append(Deviation(here, "null", "the value is null and is left out"))
        else:
            found[key] = read(item, here, deviations)
    return found


def _read_as_is(kind: type, value: object, path: str, _: list[Deviation]) -> object:
    if type(value) is not kind:
        raise _expected(kind.__name__, value, path)
    return value


def _read_id(value: Any, path: str, _: list[Deviation]) -> str:  # noqa: ANN401 - JSON, here and below
    if not isinstance(value, str):
        raise _expected("str", value, path)
    if not value:
        raise Unreadable("Expected an id, got an empty text", path)
    return value


def _read_int(bits: int, value: Any, path: str, deviations: list[Deviation]) -> int:  # noqa: ANN401
    if type(value) is float and value.is_integer() and abs(value) < _EXACT:
        text = "the whole number is written with a fraction or an exponent"
        deviations.append(Deviation(path, "number", text))
        value = int(value)
    if type(value) is not int:
        raise _expected("int", value, path)
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise Unreadable(f"Expected `int` of {bits} bits", path)
    return value


def _read_float(value: Any, path: str, _: list[Deviation]) -> float:  # noqa: ANN401
    if type(value) not in {int, float}:  # JSON has one kind of number: 1 is a valid double
        raise _expected("float", value, path)
    try:
        return float(value)
    except OverflowError:
        raise Unreadable("Expected `float` of 64 bits", path) from None


def _read_datetime(value: Any, path: str, deviations: list[Deviation]) -> datetime:  # noqa: ANN401
    if not isinstance(value, str):
        raise _expected("date-time", value, path)
    is_strict = _STRICT.fullmatch(value) is not None
    moment = _parse(value) if is_strict else _parse_other(value)
    if moment is None:
        raise Unreadable("Expected a date-time that exists", path)
    if not is_strict:
        deviations.append(Deviation(path, "date-time", "the date-time is not written as in RFC 3339"))
    return moment


def _parse(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _parse_other(text: str) -> datetime | None:
    match = _DATE_TIME.fullmatch(text.strip())
    if match is None:
        return None
    day, minute, second, fraction, offset = match.groups()
    is_leap = second == "60"
    clock = f"{minute or '00:00'}:{'59' if is_leap else second or '00'}{(fraction or '')[:7]}"
    moment = _parse(f"{day}T{clock}{offset or 'Z'}")
    try:
        return moment.replace(microsecond=0) + timedelta(seconds=1) if moment and is_leap else moment
    except OverflowError:
        return None


_SCALARS: Final[dict[Any, Read]] = {
    Id: _read_id,
    int: partial(_read_int, 64),
    Int32: partial(_read_int, 32),
    float: _read_float,
    datetime: _read_datetime,
    **{kind: partial(_read_as_is, kind) for kind in (str, bool)},
}


def _expected(what: str, value: object, path: str) -> Unreadable:
    return Unreadable(f"Expected `{what}`, got `{type(value).__name__}`", path)
