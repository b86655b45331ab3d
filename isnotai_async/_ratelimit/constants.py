"""The numbers of the rate limit's rules, each once. The Lua script receives them from here, as a table."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from isnotai_async._models.tiers import UTILISATION

MINUTE: Final = 60.0
"""Length of the API's window, in seconds (guide page "Rate limits"). Others are for tests."""


@frozen(eq=False, repr=False)
class Constants:
    """The numbers of the rate limit's rules. A window is the length of the server's window.

    Attributes:
        margin: Part of a window that is added to it, for clocks that differ slightly and for rounding.
        linger: Part of a window for which a request without a response may still reach the server.
        burst_share: Share of the limit that bulk work may use in one burst if the key was idle.
        idle_share: A key is idle while less than this share of its limit is in use.
        idle_windows: Windows after a busy request until the key counts as idle: one until its slot is free, one idle.
        utilisation: Share of the rate at which requests are spaced.
        catch_up_rate: Spaced requests that may be sent late without loss are this share of the limit, less
            `catch_up_offset`, but at least `catch_up_least`: a quarter of a request on the free tier, because 2 % of
            its 60 are hardly more than one; on higher tiers up to 1 % of the rate.
        catch_up_offset: See `catch_up_rate`.
        catch_up_least: See `catch_up_rate`.
        decrease: Factor of the rate of spaced requests after an unexpected 429.
        least_share: Lowest share of the rate after many of them.
        increase: Share of the full rate that each window adds again.
        spaced_windows: Windows within which a second unexpected 429 spaces all requests, and for which it does so.
        shortest_pause: Shortest pause after a 429, in windows; 1 s.
        longest_pause: Longest pause after a 429 without ``Retry-After``, in windows; 61 s.
        most_doublings: How often the shortest pause is doubled at most.
        max_pause: Longest pause that a ``Retry-After`` can cause, in seconds; after it a probe is sent. A call that
            received a longer ``Retry-After`` fails immediately and reports it. The bound is there because one absurd
            header must not stop a program for years.
        rounding: Error of a product with `quota`: 600 times a third is a little less than 200.
        poll: Longest time between two calls of a process that waits for the store, in seconds, with some reserve.
        poll_reserve: Seconds for which a waiting single call holds back bulk work after it could have gone.
        joining: Seconds for which a new shared state grants nothing, so that processes can report what they sent.
        calm: Seconds after that within which a process that joins causes no such pause again.
        backward: Seconds by which the clock of the store may go back; more is another clock.
        kept: Seconds after the last use for which Redis keeps the state of a key.
    """

    margin: float = 0.25 / MINUTE
    linger: float = 5.0 / MINUTE
    burst_share: float = 0.5
    idle_share: float = 0.25
    idle_windows: float = 2.0
    utilisation: float = UTILISATION
    catch_up_rate: float = 0.01
    catch_up_offset: float = 0.35
    catch_up_least: float = 0.25
    decrease: float = 0.8
    least_share: float = 0.1
    increase: float = 0.05
    spaced_windows: float = 10.0
    shortest_pause: float = 1.0 / MINUTE
    longest_pause: float = 61.0 / MINUTE
    most_doublings: int = 10
    max_pause: float = 900.0
    rounding: float = 1e-9
    poll: float = 1.05
    poll_reserve: float = 0.05
    joining: float = 1.25
    calm: float = 10.0
    backward: float = 1.0
    kept: float = 86_400.0


CONSTANTS: Final = Constants()
