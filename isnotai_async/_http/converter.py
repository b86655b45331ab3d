"""The strict half of decoding: a cattrs converter from plain JSON values to records, as documented and no other.

Every hook takes its own type and no other: ``"7"`` is no int, ``None`` no string, ``"abc"`` no list of strings,
``2026-06-10`` no date-time. A field may be None or absent only if the contract marks it nullable, which its default
shows. What fails here is read again by `tolerant`. Field names are the API's camelCase forms of the attributes.

cattrs is imported late. It takes 12 ms, a fifth of what all the rest of this package takes; a program that imports
this package for a name or two need not pay for it.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs

from isnotai_async._models.records import Id, Int32
from isnotai_async.errors import DecodeError

if TYPE_CHECKING:
    import cattrs

T = TypeVar("T")


def structure(value: object, record: type[T], path: str) -> T:
    """Structure one JSON value into a record.

    Args:
        value: What a JSON decoder returned.
        record: The attrs class to make.
        path: JSON path of the value, for the error.

    Raises:
        DecodeError: A documented field is missing or of another type; `path` says which.
    """
    try:
        return load_converter().structure(value, record)
    except (ExceptionGroup, ValueError, TypeError) as error:  # cattrs' own are groups of what the hooks raise
        from cattrs import transform_error

        reason, _, place = transform_error(error, path, _reason)[0].partition(" @ ")
    place = re.sub(_NAME, lambda match: match[0] if match["key"] else camel(match[0]), place)
    raise DecodeError(f"{reason} - at {place}", path=place)


def _reason(error: BaseException, _type: type | None) -> str:
    if isinstance(error, KeyError):
        return "Object missing required field"
    return str(error) or type(error).__name__


# Attribute names become the wire's; the quoted keys of a mapping are the wire's own. Compiled when it is needed.
_NAME: Final = r"""(?P<key>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|\w+"""
_DATE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)")


@cache
def load_converter() -> cattrs.Converter:
    """Import cattrs and build the converter, once a process.

    This holds the event loop for 12 ms. So clients do it when they are opened, before an application serves requests,
    and not in the first request.
    """
    import cattrs

    converter = cattrs.Converter()
    converter.register_structure_hook(str, _structure_str)
    converter.register_structure_hook(int, _structure_int)
    converter.register_structure_hook_func(lambda type_: type_ == Int32, _structure_int32)
    converter.register_structure_hook_func(lambda type_: type_ == Id, _structure_id)
    converter.register_structure_hook(float, _structure_float)
    converter.register_structure_hook(datetime, _structure_datetime)
    converter.register_structure_hook_factory(_is_tuple, _structure_tuple)
    converter.register_structure_hook_factory(_is_mapping, _structure_mapping)
    converter.register_structure_hook_factory(attrs.has, _structure_record)
    return converter


def _expected(what: str, value: object) -> TypeError:
    return TypeError(f"Expected `{what}`, got `{type(value).__name__}`")


def _structure_str(value: Any, _: type) -> str:  # noqa: ANN401 - JSON, here and below
    if isinstance(value, str):
        return value
    raise _expected("str", value)


def _structure_id(value: Any, _: type) -> str:  # noqa: ANN401
    if found := _structure_str(value, str):
        return found
    raise ValueError("Expected an id, got an empty text")


def _structure_int(value: Any, _: type, *, bits: int = 64) -> int:  # noqa: ANN401
    if type(value) is not int:
        raise _expected("int", value)
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise ValueError(f"Expected `int` of {bits} bits")
    return value


_structure_int32: Final = partial(_structure_int, bits=32)


def _structure_float(value: Any, _: type) -> float:  # noqa: ANN401
    if type(value) not in {int, float}:  # JSON has one kind of number: 1 is a valid double
        raise _expected("float", value)
    try:
        return float(value)
    except OverflowError:
        raise ValueError("Expected `float` of 64 bits") from None


def _structure_datetime(value: Any, _: type) -> datetime:  # noqa: ANN401
    """Read RFC 3339; the fraction has seven digits in the vendor's example, of which six are kept."""
    if not isinstance(value, str):
        raise _expected("date-time", value)
    if not _DATE_TIME.fullmatch(value):
        raise ValueError("Expected a date-time with an offset, as of RFC 3339")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("Expected a date-time that exists") from None


def _is_tuple(type_: Any) -> bool:  # noqa: ANN401
    return getattr(type_, "__origin__", None) is tuple


def _structure_tuple(type_: Any, converter: cattrs.Converter) -> Any:  # noqa: ANN401
    # cattrs would take any iterable, the characters of a string included.
    list_type = list[type_.__args__[0]]
    structure_list = converter.get_structure_hook(list_type)

    def hook(value: Any, _: type) -> tuple[Any, ...]:  # noqa: ANN401
        if not isinstance(value, list):
            raise _expected("array", value)
        return tuple(structure_list(value, list_type))

    return hook


def _is_mapping(type_: Any) -> bool:  # noqa: ANN401
    return get_origin(type_) is Mapping


def _structure_mapping(type_: Any, converter: cattrs.Converter) -> Any:  # noqa: ANN401
    dict_type = dict[str, type_.__args__[1]]
    structure_dict = converter.get_structure_hook(dict_type)

    def hook(value: Any, _: type) -> dict[str, Any]:  # noqa: ANN401
        if not isinstance(value, dict):
            raise _expected("object", value)
        read: dict[str, Any] = structure_dict(value, dict_type)
        return read

    return hook


def _structure_record(type_: Any, converter: cattrs.Converter) -> Any:  # noqa: ANN401
    from cattrs.gen import make_dict_structure_fn, override

    hints = get_type_hints(type_, include_extras=True)
    known = [field for field in attrs.fields(type_) if field.name != "extra"]
    overrides: Any = {"extra": override(omit=True)} if len(known) < len(hints) else {}
    for field in known:
        kind = hints[field.name]
        if field.default is attrs.NOTHING and get_origin(kind) in {Union, types.UnionType}:
            # The contract does not call it nullable, so it has to be there: the hooks here ignore the type they get.
            hook_of_inner = converter.get_structure_hook(
                next(each for each in get_args(kind) if each is not type(None))
            )
            overrides[field.name] = override(rename=camel(field.name), struct_hook=hook_of_inner)
        else:
            overrides[field.name] = override(rename=camel(field.name))
    structure_dict = make_dict_structure_fn(type_, converter, **overrides)
    wires = frozenset(camel(field.name) for field in known)

    def hook(value: Any, _: type) -> Any:  # noqa: ANN401
        if not isinstance(value, dict):
            raise _expected("object", value)
        record = structure_dict(value, type_)
        if value.keys() <= wires:
            return record
        return attrs.evolve(record, extra={name: value[name] for name in value if name not in wires})

    return hook


def camel(name: str) -> str:
    """Turn one of our snake_case names into the wire's camelCase."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
