"""OpenTelemetry: one span for each attempt on the wire, below a span of yours.

The spans come from OpenTelemetry's own instrumentation of aiohttp, given as a trace configuration. They have method,
URL and status, and no headers, so the API key is in none of them. Waits for the quota and retries are notices: here
they become events of the span that is current.

    pip install isnotai-async opentelemetry-sdk opentelemetry-instrumentation-aiohttp-client
    python -m examples.opentelemetry_tracing
"""

import asyncio

from opentelemetry import trace
from opentelemetry.instrumentation.aiohttp_client import create_trace_config
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

import isnotai_async as isnotai
from isnotai_async.sandbox import Fault

tracer = trace.get_tracer(__name__)


def add_event(notice: isnotai.Notice) -> None:
    """Note on the current span what the client reports between attempts."""
    span = trace.get_current_span()
    if isinstance(notice, isnotai.RetryNotice):
        span.add_event("retry", {"operation": notice.operation, "wait": notice.wait})
    elif isinstance(notice, isnotai.WaitNotice):
        span.add_event("quota wait", {"operation": notice.operation, "wait": notice.wait})


async def main() -> None:
    """Make one call that needs two attempts."""
    async with isnotai.Sandbox() as sandbox:  # with a key of your own: isnotai.Client(trace_configs=…)
        sandbox.inject(Fault.status(503))
        client = isnotai.Client(
            sandbox.api_key,
            base_url=sandbox.base_url,
            retry=isnotai.Retry(base=0.01),
            trace_configs=[create_trace_config()],
            on_notice=add_event,
        )
        async with client:
            with tracer.start_as_current_span("count events"):
                page = await client.list_events("big-100")
                print(len(page.data), "events")


if __name__ == "__main__":
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    trace.set_tracer_provider(provider)
    asyncio.run(main())
