"""One key, many processes: a web app and an export that share its quota through Redis.

Single calls go before bulk work, over all processes: the app answers while the export takes what is left. Neither
meets a 429. Both need the extra ``redis``, and know of each other only by the same key and the same Redis.

    pip install "isnotai-async[redis]" fastapi uvicorn
    ISNOTAI_API_KEY=… REDIS_URL=redis://127.0.0.1 uvicorn examples.shared_quota:app --workers 2
    ISNOTAI_API_KEY=… REDIS_URL=redis://127.0.0.1 python -m examples.shared_quota SESSION… --out events.jsonl
"""

import argparse
import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException

import isnotai_async as isnotai

PROCESSES = 3  # two of the app and the export, should they have to do without Redis


@asynccontextmanager
async def opened() -> AsyncIterator[isnotai.Client]:
    """Open a client whose limit is shared."""
    url = os.environ.get("REDIS_URL", "redis://127.0.0.1")
    limiter = isnotai.RedisLimiter.from_url(url, on_outage="local_share", workers=PROCESSES)
    async with limiter, isnotai.Client(limiter=limiter) as client:
        yield client


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep the client open as long as the app runs."""
    async with opened() as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/sessions/{session_id}")
async def session(session_id: str) -> dict[str, object]:
    """Tell what the API knows of a session."""
    try:
        found = await app.state.client.get_session(session_id)
    except isnotai.NotFoundError as error:
        raise HTTPException(404, "no such session") from error
    except isnotai.IsNotAIError as error:
        raise HTTPException(502, "the API cannot be asked now") from error
    return {"id": found.id, "status": found.status, "bot_score": found.bot_score}


async def export(sessions: list[str], out: str) -> None:
    """Export the events of sessions beside the app."""
    async with opened() as client:
        print(await isnotai.export_events(client, sessions, out))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("sessions", nargs="+")
    parser.add_argument("--out", default="events.jsonl")
    options = parser.parse_args()
    asyncio.run(export(options.sessions, options.out))
