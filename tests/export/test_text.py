"""Rows as text: what a line is, and what a spreadsheet must not run."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event
from isnotai_async.export import encode_rows
from isnotai_async.export.encoding import CSV, Encoding, GzipJSONLines, JSONLines
from isnotai_async.export.publishing import beside

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


def make_page(*names: str, session_id: str = "s1", region: str = "eu") -> Page[Event]:
    rows = tuple(Event(f"{name}", 3, name, 1_781_092_800_000 + at, -64) for at, name in enumerate(names))
    return Page(rows, None, False, 100, None, region, session_id)


def test_a_row_is_the_documented_one() -> None:
    page = make_page("keypress")

    assert encode_rows(page) == (
        b'{"region":"eu","session_id":"s1","event_id":"keypress","message_id":3,"event_type_name":"keypress",'
        b'"timestamp":1781092800000,"payload_size":-64}\n'
    )
    assert CSV().encode(page) == b"eu,s1,keypress,3,keypress,1781092800000,-64\n"


@given(names=st.lists(TEXTS, max_size=4), session_id=TEXTS)
def test_no_string_can_break_a_line_in_two(names: list[str], session_id: str) -> None:
    page = make_page(*names, session_id=session_id or "s")
    lines = encode_rows(page).split(b"\n")

    assert [json.loads(line)["event_type_name"] for line in lines[:-1]] == names
    assert lines[-1] == b""
    text = CSV(formula_guard=False).encode(page).decode()
    assert [row[4] for row in csv.reader(StringIO(text, newline=""))] == names


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\0"], ids=ascii)
def test_row_66c_a_formula_is_guarded_in_csv_and_exact_elsewhere(first: str) -> None:
    page = make_page(f"{first}1+1")
    guarded, raw = (
        next(csv.reader(StringIO(CSV(formula_guard=guard).encode(page).decode(), newline="")))
        for guard in (True, False)
    )

    assert guarded[4] == f"'{first}1+1"
    assert guarded[6] == "-64", "numbers are no formulas"
    assert raw[4] == f"{first}1+1"
    assert json.loads(JSONLines().encode(page))["event_type_name"] == f"{first}1+1"


@pytest.mark.parametrize(
    "encoding", [JSONLines(), GzipJSONLines(), CSV(), CSV(formula_guard=False)], ids=["jsonl", "gz", "csv", "raw"]
)
@given(names=st.sets(TEXTS, max_size=4), size=st.integers(1, 50))
def test_the_ids_of_a_session_are_found_again(encoding: Encoding, names: set[str], size: int) -> None:
    names = {name for name in names if not name.startswith("'")}  # CSV cannot tell that one from the guard's
    content = encoding.header
    for session_id, region in (("s1", "eu"), ("=s2", "eu"), ("s1", "us"), ("s", "eu")):
        content += encoding.encode(
            make_page(*(f"{n}{session_id}" for n in names), session_id=session_id, region=region)
        )
    chunks = (content[at : at + size] for at in range(0, len(content), size))

    assert encoding.read_ids(chunks, "eu", "=s2") == {f"{name}=s2" for name in names}


@given(name=st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=300))
def test_row_66b_the_files_beside_a_target_stay_in_its_folder_and_can_be_made(name: str) -> None:
    target = Path("/folder") / f"x{name}"
    for path in (beside(target, ".journal.new"), beside(target, ".lock", hidden=True)):
        assert path.parent == target.parent
        assert len(path.name.encode()) <= 255
        assert path != target
