"""The page on syncs: its program prints what it shows, and its commands have the options that it names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from isnotai_async._cli.app import app
from isnotai_async._cli.exit_codes import FAILED, INCOMPLETE, REFUSED, USAGE
from isnotai_async.export.store_file import READER_SECONDS
from isnotai_async.export.sync_rules import AUDITED
from tests.command_reference import describe

NOT_AGAIN = [FAILED, USAGE, REFUSED, INCOMPLETE]
PAGE = (Path(__file__).parents[2] / "docs" / "sync.md").read_text(encoding="utf-8")


def test_its_program_prints_what_is_shown(run_program: Callable[[str], tuple[str, str]]) -> None:
    [(program, printed)] = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert run_program(program) == (printed, "")


def test_its_options_are_those_of_the_commands() -> None:
    shown = describe()
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))
    assert {option for option in options if f"{option} " not in shown} == set()
    assert {"--since", "--watch", "--settle", "--max-open", "--include-open"} <= options


def test_its_figures_are_those_of_the_rules() -> None:
    assert f"reads {AUDITED} final sessions" in PAGE
    assert f"for more than {READER_SECONDS:g} s" in PAGE


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def check_command(words: list[str]) -> None:
    """Check that the command line takes these words, without running them."""
    assert Path(words[0]).name == "isnotai"
    command, *_ = app.parse_args(words[1:], exit_on_error=False, print_error=False)
    assert command.__name__ == words[1]


def test_the_line_for_cron_is_a_command() -> None:
    [line] = [line for block in blocks("text") for line in block.splitlines() if "--api-key-file" in line]
    times, command = line.split("  ", 1)
    assert re.fullmatch(r"(\d+|\*)( (\d+|\*)){4}", times)
    check_command(shlex.split(command.split(" || ")[0]))


def test_the_units_of_systemd_try_again_what_is_not_finished_and_nothing_else() -> None:
    units = []
    for block in blocks("ini"):
        units.append(ConfigParser(interpolation=None))
        units[-1].read_string(block)
    service, timer = (dict(unit) for unit in units)
    check_command(shlex.split(service["Service"]["ExecStart"]))
    assert (service["Service"]["Type"], service["Service"]["Restart"]) == ("oneshot", "on-failure")
    assert "RestartForceExitStatus" not in service["Service"], "systemd refuses it in a oneshot service"
    assert service["Service"]["RestartPreventExitStatus"].split() == [str(code) for code in NOT_AGAIN]
    assert timer["Timer"]["Persistent"] == "true"


def test_the_cron_job_of_kubernetes_tries_again_what_is_not_finished_and_nothing_else() -> None:
    [block] = blocks("yaml")
    job = yaml.safe_load(block)["spec"]
    pod = job["jobTemplate"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    check_command(container["command"])
    assert (job["concurrencyPolicy"], pod["restartPolicy"]) == ("Forbid", "Never")
    [rule] = job["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"] == {"containerName": container["name"], "operator": "In", "values": NOT_AGAIN}
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
