"""`isnotai doctor`: its output and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from isnotai_async._cli import main
from isnotai_async._cli.doctor_command import exit_code
from isnotai_async._diagnosis.findings import Diagnosis, Finding, Level
from isnotai_async.sandbox import Fault, Sandbox
from tests.canary import CANARY_KEY, shows_key


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with start_blocking_portal() as portal:
        server = Sandbox(api_keys={"us": CANARY_KEY}, rate_limit=None)
        with portal.wrap_async_context_manager(server):
            monkeypatch.setenv("ISNOTAI_API_KEY", CANARY_KEY)
            monkeypatch.setenv("ISNOTAI_BASE_URL", server.base_url)
            monkeypatch.delenv("ISNOTAI_REGION", raising=False)
            yield server


def test_a_healthy_api_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--sandbox"]) == 0

    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("isnotai_async ")
    assert len(lines) == 10
    assert all(line.startswith("ok       us  ") for line in lines)


def test_json_is_one_line_with_all_findings(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0

    output = capsys.readouterr().out
    assert output.count("\n") == 1
    assert set(json.loads(output)["findings"][0]) == {"level", "probe", "region", "message"}
    assert sandbox.stats.requests == 17


def test_a_refused_key_ends_with_3_whatever_else_there_is(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.inject(Fault.status(401, times=None), operation="get_integration")
    sandbox.inject(Fault.clock_skew(900, times=None))

    assert main(["doctor"]) == 3

    output = capsys.readouterr().out
    assert "refused  us  key" in output
    assert "trouble  us  clock" in output
    assert not shows_key(output)


def test_trouble_ends_with_1_though_there_is_drift(sandbox: Sandbox) -> None:
    sandbox.inject(Fault.status(404, times=None), operation="openapi")
    sandbox.inject(Fault.clock_skew(900, times=None))

    assert main(["doctor"]) == 1


def test_drift_ends_with_5(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox.inject(Fault.tier_name("platinum", times=None))

    assert main(["doctor"]) == 5
    assert "drift    us  tier" in capsys.readouterr().out


def test_notes_end_with_0() -> None:
    levels: list[Level] = ["ok", "note"]
    findings = tuple(Finding(level=level, probe="p", region="us", message="m") for level in levels)

    assert exit_code(Diagnosis(version="1", findings=findings)) == 0
