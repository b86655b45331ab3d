"""Prometheus: requests, retries and waits for the quota, from the notices of the client.

Labels are the operation and the status, never an id or a host, so their number is bounded.

    pip install isnotai-async prometheus-client
    python -m examples.prometheus_metrics
"""

import asyncio
import math

from prometheus_client import Counter, Histogram, generate_latest

import isnotai_async as isnotai
from isnotai_async.sandbox import Fault

REQUESTS = Counter("isnotai_requests", "Attempts on the wire", ["region", "operation", "status"])
SECONDS = Histogram("isnotai_request_seconds", "Seconds of an attempt", ["region", "operation"])
RETRIES = Counter("isnotai_retries", "Attempts after the first", ["region", "operation"])
WAITED = Counter("isnotai_waited_seconds", "Least seconds that requests were made to wait", ["region", "operation"])
RECORDS = Counter("isnotai_records", "Records received in pages", ["region", "operation"])


def measure(notice: isnotai.Notice) -> None:
    """Count what the client reports; pass it as ``on_notice=``."""
    match notice:
        case isnotai.AttemptNotice(region=region, operation=operation, status=status, error=error, elapsed=elapsed):
            REQUESTS.labels(region, operation, error or str(status)).inc()
            SECONDS.labels(region, operation).observe(elapsed)
        case isnotai.RetryNotice(region=region, operation=operation):
            RETRIES.labels(region, operation).inc()
        case isnotai.WaitNotice(region=region, operation=operation, wait=wait) if math.isfinite(wait):
            WAITED.labels(region, operation).inc(wait)  # it is infinite if the wait is not known
        case isnotai.PageNotice(region=region, operation=operation, records=records):
            RECORDS.labels(region, operation).inc(records)


async def main() -> None:
    """Make one call that needs two attempts, and show what was counted."""
    async with isnotai.Sandbox() as sandbox:  # with a key of your own: isnotai.Client(on_notice=measure)
        sandbox.inject(Fault.status(503))
        retry = isnotai.Retry(base=0.01)
        client = isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, retry=retry, on_notice=measure)
        async with client:
            await client.list_events("big-100")
    counted = [line for line in generate_latest().decode().splitlines() if line.startswith("isnotai_")]
    print("\n".join(line for line in counted if "_total" in line))


if __name__ == "__main__":
    asyncio.run(main())
