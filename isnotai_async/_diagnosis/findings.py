"""`Diagnosis` and `Finding`: what the doctor found."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

Level = Literal["ok", "note", "drift", "trouble", "refused"]


@frozen(kw_only=True)
class Finding:
    """The result of one check of the doctor.

    Example:
        >>> diagnosis = await isnotai.diagnose(client)
        >>> finding = diagnosis.findings[0]
        >>> finding.level, finding.probe, finding.region
        ('ok', 'name', 'us')

    Attributes:
        level: ``"ok"``; ``"note"``: works, but worth knowing; ``"drift"``: the API differs from what this package was
            built for; ``"trouble"``: does not work; ``"refused"``: the key was rejected.
        probe: What was looked at, such as ``"clock"``.
        region: Name of the region that was asked.
        message: What was found, with the value, and what to do. It holds no secret.
    """

    level: Level
    probe: str
    region: str
    message: str


@frozen(kw_only=True)
class Diagnosis:
    """What the doctor found. ``str(diagnosis)`` is a line for each finding, fit to be pasted into a ticket.

    Example:
        >>> diagnosis = await isnotai.diagnose(client)
        >>> str(diagnosis).splitlines()[0]
        'isnotai_async ...'

    Attributes:
        version: Version of this package.
        findings: In the order in which they were made.
    """

    version: str
    findings: tuple[Finding, ...]

    def has(self, level: Level) -> bool:
        """Return whether there is a finding of this level.

        Example:
            >>> diagnosis = await isnotai.diagnose(client)
            >>> diagnosis.has("trouble")
            False
        """
        return any(finding.level == level for finding in self.findings)

    def __str__(self) -> str:
        width = max((len(finding.probe) for finding in self.findings), default=0)
        lines = [f"{each.level:7}  {each.region}  {each.probe:{width}}  {each.message}" for each in self.findings]
        return "\n".join([f"isnotai_async {self.version}", *lines])
