"""The data that a region serves: generated, or recorded in a file."""

from __future__ import annotations

from isnotai_async.sandbox.generated import Dataset, GeneratedSession
from isnotai_async.sandbox.recording import RecordedSession, Recording

Data = Dataset | Recording
SandboxSession = GeneratedSession | RecordedSession
