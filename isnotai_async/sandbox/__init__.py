"""A server on loopback that behaves like the documented API: for demos, and for tests of this package and of yours.

It shares no code with the client except the base class of its errors, so that both cannot contain the same mistake::

    async with Sandbox() as sandbox:
        sandbox.inject(Fault.status(503, retry_after=1), operation="list_events")
        async with Client(sandbox.api_key, base_url=sandbox.base_url) as client:
            ...
        assert sandbox.stats.statuses[503] == 1

It follows the documentation. If the documentation says nothing, the sandbox decides; do not rely on these points:

- the order of rows, the form of ids and cursors, the event types except `init`, `mouse_move` and `keypress`, and the
  bytes of all event types;
- all error codes that start with ``SANDBOX_``: documented are only `INVALID_API_KEY` and `SESSION_NOT_FOUND`;
- the fields of ``/v1/integration`` except `apiKeyMasked`, all fields of ``/v1/stats`` and of a course, and what the
  numbers of users, analytics and usage count (see `analytics`);
- which values are malformed (the sandbox is strict): it answers 400 if the contract lists one for the operation,
  else it ignores the malformed parameter. An empty `cursor` or `metric` counts as absent. `period` and `groupBy`
  accept the documented values only, although the real API may accept more;
- its clock, which always shows 2026-06-10T12:00:00Z, with all its sessions in the six days before; only the ``Date``
  header uses this machine's clock.

``/openapi/v3.json`` is the contract that this package contains, which was compiled from the vendor's public pages.

``Sandbox(data="events.jsonl")`` serves an exported file instead, so that you can work offline on your own data. Its
keys are then random, and new each time.

Faults, each made by a class method of `Fault`:

=====================  ===============================================================================
`status`               an error status, with envelope or empty (an edge's 404), any `details`, with or
                       without ``Retry-After``
`rate_limited`         429 although the window has room
`html`                 an HTML error page of a proxy: 502, or any status such as 404
`captive_portal`       200 and an HTML page
`garbage`              200 and a body that is no JSON
`raw`                  any status, headers and body
`slow_headers`         a wait before the first byte
`slow_body`            the body drips
`reset`                the TCP connection is reset before the first byte
`cut_body`             half the body, then the end: short of `Content-Length`, or inside a chunk
`corrupt_gzip`         a compressed body with spoilt bytes
`empty_page`           no rows, `hasMore`, and a fresh cursor to the same place
`repeated_cursor`      `hasMore` and the cursor that was just sent
`no_cursor`            `hasMore` and a null cursor
`refused_cursor`       an error because of the cursor, with a status and code of your choice
=====================  ===============================================================================

Deviations are faults that leave the answer a success. They show whether a program can handle what the API may do:

=====================  ===============================================================================
`changed_field`        null, or any value, in a field: ``changed_field("data[*].detectionFlags")``
`absent_field`         a field is left out: ``absent_field("pagination.limit")``
`success_status`       201, 202, 203 instead of 200; 204 without a body
`error_in_success`     200 and an error envelope
`decimal_numbers`      whole numbers written as ``7.0`` or ``7e0``
`date_times`           date-times without offset, with a space, without seconds, with nine digits, ...
`byte_order_mark`      a byte order mark before the JSON
`x_gzip`               the body in gzip, called ``x-gzip``
`tier_name`            another ``x-isnotai-tier``: ``tier_name("Enterprise")``, or none
`clock_skew`           a ``Date`` that is too early or too late
=====================  ===============================================================================

``Sandbox(compress=False)`` never compresses.

A test of a 429 takes a minute with the client's own limiter, because that is how long the API counts. Give the client
a limiter with a short window, and it takes less than a second::

    sandbox.inject(Fault.rate_limited())
    Client(sandbox.api_key, base_url=sandbox.base_url, limiter=LocalLimiter(window=0.1))

``Sandbox(window=0.1)`` does the same for the limit itself. ``Retry-After`` is sent as you give it; the client rounds
it up to whole seconds.
"""

from isnotai_async.sandbox.faults import Fault
from isnotai_async.sandbox.region import RegionStats
from isnotai_async.sandbox.server import Sandbox

__all__ = ["Fault", "RegionStats", "Sandbox"]
