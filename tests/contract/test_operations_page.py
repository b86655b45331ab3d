"""The page that tells of the operations: complete, and true."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import pytest

import isnotai_async as isnotai
from isnotai_async._cli import main
from isnotai_async._cli.app import app
from isnotai_async._operations import Operations
from tests.contract.contract import operations, snake

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| `(\w+)\((.*)\)` \| (list of )?`?(\w+)`? \| `isnotai ([\w-]+).*` \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE)
COMMANDS = re.findall(r"^\$ (isnotai .*)\n((?:(?!\$ |```).*\n)+)", PAGE, re.MULTILINE)


def test_there_is_a_row_for_every_operation_and_no_other() -> None:
    assert sorted(snake(row[0]) for row in ROWS) == sorted(operations())
    assert len(ROWS) == PAGE.count("| `isnotai ")


@pytest.mark.parametrize(
    ("operation", "method", "takes", "listed", "record", "command"), ROWS, ids=lambda value: value
)
def test_a_row_tells_method_parameters_record_and_command(
    *, operation: str, method: str, takes: str, listed: str, record: str, command: str
) -> None:
    found = getattr(Operations, method)
    given = get_type_hints(found)["return"]
    is_list = get_origin(given) is isnotai.Paginator
    kind = get_args(given)[0] if is_list else given

    assert method == snake(operation)
    assert is_list == bool(listed)
    parameters = set(inspect.signature(found).parameters) - {"self", "max_items", "resume"}
    assert set(filter(None, takes.split(", "))) == parameters
    assert record == ("mapping" if get_origin(kind) else kind.__name__)
    assert record == "mapping" or getattr(isnotai, record) is kind
    assert app[command] is not None


@pytest.mark.parametrize(("command", "printed"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_a_command_prints_what_is_shown(command: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out == printed


def test_some_commands_are_shown() -> None:
    assert len(COMMANDS) == 2
