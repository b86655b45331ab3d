"""How a command keeps to the quota of a key that others use too: --quota and --redis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import isnotai_async as isnotai
from isnotai_async._cli import main
from isnotai_async._cli.options import Connection, open_client
from isnotai_async._models.validation import read_share
from tests.redis_server import running_redis

PASSWORD = "hunter2-Zt9fKb3LmR8sVh5Yp0"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "API_KEY_FILE", "REGION", "BASE_URL", "REDIS_URL"):
        monkeypatch.delenv(f"ISNOTAI_{name}", raising=False)


@pytest.mark.parametrize(
    ("text", "share"), [("1/8", 0.125), ("0.125", 0.125), ("1", 1.0), ("2/2", 1.0), ("1e-3", 0.001)]
)
def test_a_quota_is_a_fraction_or_a_number(text: str, share: float) -> None:
    assert read_share(text, "--quota") == share


@pytest.mark.parametrize("text", ["", "a", "1/", "1/0", "/8", "1/2/3", "0", "9/8", "-1/8", "nan", "1/inf", "25%"])
def test_a_quota_that_cannot_be_is_a_usage_error(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", f"--quota={text}"]) == 2
    assert "--quota" in capsys.readouterr().err


async def test_a_command_keeps_to_its_share(tmp_path: Path) -> None:
    async with isnotai.Sandbox(tier="free") as sandbox:
        async with open_client(_connection(sandbox, tmp_path, quota="1/30")) as client:
            copy = client.with_options(deadline=1)
            for _ in range(2):
                await copy.get_session("big-1")
            with pytest.raises(isnotai.TransportTimeoutError):
                await copy.get_session("big-1")
        assert len(sandbox.stats.arrivals) == 2


@pytest.mark.parametrize("way", ["URL", "env"])
async def test_a_command_shares_the_quota_through_redis(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_redis(tmp_path) as server:
        monkeypatch.setenv("ISNOTAI_REDIS_URL", server.url if way == "env" else "redis://127.0.0.1:1")
        redis = server.url if way == "URL" else "env"
        async with (
            isnotai.Sandbox() as sandbox,
            open_client(_connection(sandbox, tmp_path, redis=redis)) as client,
        ):
            await client.get_session("big-1")
        assert server.calls() > 0


def _connection(sandbox: isnotai.Sandbox, tmp_path: Path, **options: Any) -> Connection:
    file = tmp_path / "key"
    file.write_text(sandbox.api_key)
    return Connection(base_url=sandbox.base_url, api_key_file=file, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--quota", "1/8", "--redis", "env"], "leave out one"),
        (["--redis", "env"], "ISNOTAI_REDIS_URL, which is not set"),
        (["--redis", "redis://127.0.0.1:1?foo=1"], "the Redis URL cannot be read"),
        (["--redis", f"redis://:{PASSWORD}@127.0.0.1:1"], "set ISNOTAI_REDIS_URL instead"),
        (["--redis", f"redis://127.0.0.1:1?password={PASSWORD}"], "set ISNOTAI_REDIS_URL instead"),
        (["--redis", f"redis://user:{PASSWORD}@[::1"], "set ISNOTAI_REDIS_URL instead"),
        (["--sandbox", "--quota", "1/8"], "--sandbox has no quota to share"),
        (["--sandbox", "--redis", "env"], "--sandbox has no quota to share"),
    ],
)
def test_options_that_cannot_be_are_a_usage_error_and_show_no_password(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sessions", *options]) == 2
    shown = "".join(capsys.readouterr())
    assert message in shown
    assert PASSWORD not in shown


@pytest.mark.parametrize("command", ["health", "whoami", "sessions", "events", "usage", "export"])
def test_every_command_that_asks_has_both_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([command, "--help"])
    shown = capsys.readouterr().out
    assert "--quota" in shown
    assert "--redis" in shown
