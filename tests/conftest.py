"""What every test stands on."""

import pytest

from tests.canary import KeyWatch


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(KeyWatch(), "key-watch")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
