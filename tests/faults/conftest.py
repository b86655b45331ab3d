"""Fixtures of the fault tests."""

import secrets

import pytest


@pytest.fixture
def own_key(monkeypatch: pytest.MonkeyPatch) -> str:
    """Set a key for the command that no other test has, so that none uses its rate."""
    key = f"aik_v1_{secrets.token_urlsafe(30)}"
    monkeypatch.setenv("ISNOTAI_API_KEY", key)
    return key
