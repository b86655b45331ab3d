"""`examples/notebook.py` runs cell by cell in a real kernel, and shows what a person is to see."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from jupyter_client.blocking.client import BlockingKernelClient

NOTEBOOK = Path(__file__).parent.parent / "examples" / "notebook.py"
CELLS = re.split(r"(?m)^# %%\n", re.sub(r"(?m)^# %% \[markdown\]\n(?:#.*\n)*", "", NOTEBOOK.read_text("utf-8")))[1:]


@pytest.fixture(scope="module")
def kernel() -> Iterator[BlockingKernelClient]:
    from jupyter_client.manager import KernelManager

    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(NOTEBOOK.parent.parent))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=50)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def run_cell(kernel: BlockingKernelClient, cell: str) -> dict[str, str]:
    """Run a cell and return its result by MIME type; whatever it prints is an error."""
    shown: dict[str, str] = {}

    def see(message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        assert kind not in {"error", "stream"}, content
        if kind == "execute_result":
            shown.update(content["data"])

    reply = kernel.execute_interactive(cell, timeout=50, output_hook=see)
    assert reply["content"]["status"] == "ok"
    return shown


def test_the_notebook_runs_in_a_kernel(kernel: BlockingKernelClient) -> None:
    opened, page, frame, sessions, event, position, closed = (run_cell(kernel, cell) for cell in CELLS)

    assert re.fullmatch(r"<Client of us \(http://127\.0\.0\.1:\d+\): open>", opened["text/plain"])
    assert "<Page of 5 records from us, more follow>" in page["text/plain"]
    assert page["text/html"].count("<tr>") == 6
    assert "<td><bdi>0.8781</bdi></td>" in page["text/html"]
    assert "keypress" in frame["text/html"]
    assert "ses-ae9f8f9c4f7ae686" in sessions["text/html"]
    assert event["text/plain"].startswith("('init',\n datetime.datetime(2026, 6, 10, 2, 3, 14")
    assert position["text/plain"].startswith("<Position in list_events of session 'ses-")
    assert closed["text/plain"].endswith(": closed>")
