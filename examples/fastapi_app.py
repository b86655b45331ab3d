"""FastAPI: the events of a session, streamed to the browser line by line (NDJSON).

One client is opened with the app and serves all requests. A browser that reads slowly slows down the requests to
the API, and one that goes away ends them.

    pip install isnotai-async fastapi uvicorn
    ISNOTAI_API_KEY=… uvicorn examples.fastapi_app:app
    curl -N http://127.0.0.1:8000/sessions/SESSION/events
"""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse

import isnotai_async as isnotai
from isnotai_async.export import encode_rows

client = isnotai.Client()  # the key comes from ISNOTAI_API_KEY


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Keep the client open as long as the app runs."""
    async with client:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/sessions/{session_id}/events")
async def events(session_id: str) -> StreamingResponse:
    """Stream all events of a session, in time order."""
    try:
        await client.get_session(session_id)  # a status can be sent only before the first line
    except isnotai.NotFoundError as error:
        raise HTTPException(404, "no such session") from error
    except isnotai.RateLimitedError as error:  # the quota is ours, so it is no 429 to the browser
        wait = str(math.ceil(error.retry_after or 60))
        raise HTTPException(503, "try again later", headers={"Retry-After": wait}) from error
    except isnotai.ConfigError as error:
        raise HTTPException(400, str(error)) from error
    except isnotai.IsNotAIError as error:
        raise HTTPException(502, "the API cannot be asked now") from error
    return StreamingResponse(lines(session_id), media_type="application/x-ndjson")


async def lines(session_id: str) -> AsyncIterator[bytes]:
    """Yield the lines of one page at a time; the next page is requested when these are sent."""
    async with client.stream_events(session_id, buffer=2, ordered=True) as pages:
        async for page in pages:
            yield encode_rows(page, session_id)
