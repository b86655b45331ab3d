"""aiohttp.web: the events of a session, streamed to the browser line by line (NDJSON).

One client is opened with the app and serves all requests. A browser that reads slowly slows down the requests to
the API, and one that goes away ends them.

    ISNOTAI_API_KEY=… python -m examples.aiohttp_app
    curl -N http://127.0.0.1:8080/sessions/SESSION/events
"""

import math
import os
from collections.abc import AsyncIterator

from aiohttp import web

import isnotai_async as isnotai
from isnotai_async.export import encode_rows

client = isnotai.Client()  # the key comes from ISNOTAI_API_KEY


async def opened(_: web.Application) -> AsyncIterator[None]:
    """Keep the client open as long as the app runs."""
    async with client:
        yield


async def events(request: web.Request) -> web.StreamResponse:
    """Stream all events of a session, in time order."""
    session_id = request.match_info["session_id"]
    try:
        await client.get_session(session_id)  # a status can be sent only before the first line
    except isnotai.NotFoundError:
        raise web.HTTPNotFound(text="no such session") from None
    except isnotai.RateLimitedError as error:  # the quota is ours, so it is no 429 to the browser
        wait = str(math.ceil(error.retry_after or 60))
        raise web.HTTPServiceUnavailable(text="try again later", headers={"Retry-After": wait}) from None
    except isnotai.ConfigError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    except isnotai.IsNotAIError:
        raise web.HTTPBadGateway(text="the API cannot be asked now") from None
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    async with client.stream_events(session_id, buffer=2, ordered=True) as pages:
        async for page in pages:
            try:
                await response.write(encode_rows(page, session_id))  # waits while the browser is slow
            except ConnectionResetError:
                break  # the browser is gone
    return response


def build_app() -> web.Application:
    """Build the app."""
    app = web.Application()
    app.cleanup_ctx.append(opened)
    app.router.add_get("/sessions/{session_id}/events", events)
    return app


if __name__ == "__main__":
    web.run_app(build_app(), host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
