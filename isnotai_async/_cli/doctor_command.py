"""The command `isnotai doctor`: the findings on stdout, and an exit code that a cron job can go by."""

from __future__ import annotations

from isnotai_async._cli import exit_codes
from isnotai_async._cli.options import Connection, Json, open_client
from isnotai_async._cli.output import write_json, write_line
from isnotai_async._diagnosis.doctor import diagnose
from isnotai_async._diagnosis.findings import Diagnosis


async def doctor(*, json: Json = False, connection: Connection = Connection()) -> int:
    """Look for what is wrong between here and the API, and for what the API does unlike its documentation.

    It sends about twenty requests: name, proxy, TLS, clock, key, tier, latency, compression, an answer of each
    operation, and the API's own OpenAPI document, compared with the contract that this package carries. The output
    holds no secret, so it can go into a ticket. Ends with 3 if the key is rejected, else with 1 if something does not
    work, else with 5 if the API differs from the contract, else with 0.
    """
    async with open_client(connection) as client:
        diagnosis = await diagnose(client)
    if json:
        write_json(diagnosis)
    else:
        write_line(str(diagnosis))
    return exit_code(diagnosis)


def exit_code(diagnosis: Diagnosis) -> int:
    """Return the exit code for what was found."""
    if diagnosis.has("refused"):
        return exit_codes.REFUSED
    if diagnosis.has("trouble"):
        return exit_codes.FAILED
    return exit_codes.INCOMPLETE if diagnosis.has("drift") else exit_codes.DONE
