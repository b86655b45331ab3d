"""`isnotai sandbox`, as a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from tests.command import Command

ROW = {
    "region": "us", "session_id": "s", "event_id": "e", "message_id": 1, "event_type_name": "init", "timestamp": 1,
    "payload_size": 0,
}  # fmt: skip


def serve_and_send(data: Path, request: bytes) -> tuple[bytes, str, str]:
    """Serve a file, send one request, and return its answer, the key, and what was said on stderr."""
    command = ["sandbox", "--data", str(data)]
    process = Command(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    words = [process.stdout.readline() for _ in range(6)]  # a comment and two lines for each region
    url = urlsplit(words[1].partition("BASE_URL=")[2].strip())
    with socket.create_connection((url.hostname, url.port), timeout=30) as connection:
        connection.sendall(request)
        answer = connection.recv(65_536)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    return answer, words[2].partition("API_KEY=")[2].strip(), said


def test_a_malformed_request_is_one_line_and_keys_are_new_with_data(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROW) + "\n")
    answer, key, said = serve_and_send(file, b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n")
    rebound, other_key, _ = serve_and_send(file, b"GET /v1/sessions HTTP/1.1\r\nHost: evil.example\r\n\r\n")

    assert answer.startswith(b"HTTP/1.0 400 ")
    assert [line for line in said.splitlines() if "malformed" in line] == [
        "# malformed request: Invalid header token"
    ]
    assert "Traceback" not in said
    assert key != other_key
    assert rebound.startswith(b"HTTP/1.1 421 ")
