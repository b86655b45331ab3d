"""The Lua script of the shared rate limit: ``rate_limit.lua`` with the numbers of `constants`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from attrs import asdict

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.constants import CONSTANTS


def build_script() -> str:
    """Return the script: the constants as a table, then the rules."""
    numbers = {**asdict(CONSTANTS), "free": Tier.FREE.requests_per_minute}
    values = ", ".join(f"{name} = {value!r}" for name, value in numbers.items())
    rules = Path(__file__).with_name("rate_limit.lua").read_text(encoding="utf-8")
    return f"local CONSTANTS = {{{values}}}\n{rules}"


SCRIPT: Final = build_script()
