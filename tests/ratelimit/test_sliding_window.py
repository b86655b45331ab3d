"""The interval log: which slots are occupied."""

from __future__ import annotations

from math import inf

import pytest

from isnotai_async._ratelimit.sliding_window import SlidingWindowLog


def test_a_slot_is_left_a_window_and_a_margin_after_the_answer() -> None:
    log = SlidingWindowLog()
    log.take()
    assert (log.occupied(1000.0), log.held, log.next_leaving()) == (1, 1, inf)
    log.answered(1000.0)
    assert log.next_leaving() == pytest.approx(1060.25)
    assert [log.occupied(now) for now in (1060.2, 1060.3)] == [1, 0]


def test_a_slot_that_nobody_answered_is_held_longer() -> None:
    log = SlidingWindowLog()
    log.take()
    log.take()
    log.abandoned(0.0)
    log.answered(0.0)
    assert log.next_leaving() == pytest.approx(60.25)
    assert [log.occupied(now) for now in (60.2, 60.3, 65.2, 65.3)] == [2, 1, 1, 0]


def test_a_permit_that_was_not_used_leaves_no_trace() -> None:
    log = SlidingWindowLog()
    log.take()
    log.give_back()
    assert log.occupied(0.0) == 0


def test_a_scaled_window_scales_margin_and_linger() -> None:
    log = SlidingWindowLog(6.0)
    log.take()
    log.abandoned(0.0)
    assert log.next_leaving() == pytest.approx(6.525)
