"""A server on loopback that behaves like the documented API: for demos, and for tests of this package and of yours.

It shares no code with the client but the base of its errors, so that the two cannot agree on the same mistake::

    async with Sandbox() as sandbox:
        sandbox.inject(Fault.status(503, retry_after=1), operation="list_events")
        async with Client(sandbox.api_key, base_url=sandbox.base_url) as client:
            ...
        assert sandbox.stats.statuses[503] == 1

Documented behaviour is kept to the letter. Where the documentation says nothing, the sandbox decides, and you should
not build on it: the order of rows, all error codes but `INVALID_API_KEY`, the event types beside `init`,
`mouse_move` and `keypress` and all their bytes, the form of ids and cursors, the fields of ``/v1/integration`` beside
`apiKeyMasked`, all fields of ``/v1/stats`` and of a course, what the numbers of users, analytics and usage count (see
`analytics`), and what exactly is refused as malformed (the sandbox is strict). Its clock stands at
2026-06-10T12:00:00Z, and all its sessions lie within the six days before.

``Sandbox(data="events.jsonl")`` serves what an export wrote instead, so that you can work offline on your own data.

Faults, each made by a class method of `Fault`:

=====================  ===============================================================================
`status`               an error status, with envelope or empty, with or without ``Retry-After``
`rate_limited`         429 though the window has room
`html`                 an HTML error page from a proxy (502)
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
=====================  ===============================================================================
"""

from isnotai_async.sandbox.faults import Fault
from isnotai_async.sandbox.region import RegionStats
from isnotai_async.sandbox.server import Sandbox

__all__ = ["Fault", "RegionStats", "Sandbox"]
