"""Decoding a page of 100 events, against other ways to do it: no socket, one core.

What was learnt (Python 3.11, msgspec 0.22, cattrs 26.2, attrs 26.1):

* The JSON decoder was chosen here. msgspec checks types and gives paths while it decodes, for less than orjson takes
  to make dicts that are still to be checked.
* A frozen attrs ``__init__`` costs 0.3 µs an event more than plain slots, because each field goes through
  ``object.__setattr__``. A loop that fills an unfrozen twin and switches its class halves that. An attrs class that
  is a struct of msgspec needs no loop and no second object: a page of 100 takes a sixth fewer instructions.
* msgspec can fill other attrs classes by itself, which takes longer than structs and a loop (44 against 39 µs).
"""

from __future__ import annotations

import json
import timeit
from collections.abc import Callable

import cattrs
import msgspec
from attrs import frozen
from cattrs.gen import make_dict_structure_fn, override

from benchmarks.harness import Report, Table
from benchmarks.page_server import EVENTS, build_replies
from isnotai_async._http.codec import decode_events
from isnotai_async._http.converter import camel

BODY = build_replies(2)[b""].partition(b"\r\n\r\n")[2]
NAMES = ("event_id", "message_id", "event_type_name", "timestamp", "payload_size")


class _Row(msgspec.Struct):
    eventId: str  # noqa: N815 - the wire's own names
    messageId: int  # noqa: N815
    eventTypeName: str  # noqa: N815
    timestamp: int
    payloadSize: int  # noqa: N815


class _Rows(msgspec.Struct):
    data: list[_Row]


_decode_rows = msgspec.json.Decoder(_Rows).decode


def msgspec_structs() -> object:
    """Typed structs, which are neither frozen nor attrs: what the decoder alone takes."""
    return _decode_rows(BODY).data


@frozen
class _Record:
    event_id: str
    message_id: int
    event_type_name: str | None
    timestamp: int
    payload_size: int


def frozen_init() -> object:
    """The same, then the ``__init__`` of a frozen attrs class."""
    return [
        _Record(row.eventId, row.messageId, row.eventTypeName, row.timestamp, row.payloadSize)
        for row in _decode_rows(BODY).data
    ]


def default_cattrs() -> Callable[[], object]:
    """`json.loads`, then cattrs with renames and its lax default hooks."""
    converter = cattrs.Converter()
    renames = {name: override(rename=camel(name)) for name in NAMES}
    hook = make_dict_structure_fn(_Record, converter, **renames)  # type: ignore[arg-type] # keywords are open
    converter.register_structure_hook(_Record, hook)
    return lambda: converter.structure(json.loads(BODY)["data"], list[_Record])


def run(*, quick: bool) -> Report:
    """Measure; one table."""
    ways: dict[str, Callable[[], object]] = {
        "isnotai_async: checked, frozen attrs records": lambda: decode_events(BODY, tier=None, region="us").data,
        "msgspec: checked structs, the decoder alone": msgspec_structs,
        "msgspec, then the frozen __init__": frozen_init,
        "json.loads: dicts, nothing checked": lambda: json.loads(BODY),
        "json.loads, then cattrs defaults": default_cattrs(),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(5 if quick else 25):
        for name, way in ways.items():
            best[name] = min(best[name], timeit.timeit(way, number=200) / 200 * 1e6)
    ours = next(iter(best.values()))
    rows = tuple((name, f"{figure:.0f}", f"{figure / ours:.2f}") for name, figure in best.items())
    title = f"Decoding one page of {EVENTS} events ({len(BODY):,} bytes), the best of many rounds"
    return Report([Table(title, ("way", "µs", "x ours"), rows)], figures=best)
