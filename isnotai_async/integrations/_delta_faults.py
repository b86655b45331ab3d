"""What to raise for an error of a store: one sentence, with what to do, of what deltalake may say in pages."""

from __future__ import annotations

import re
from typing import Final

from isnotai_async.errors import SinkError, quoted

_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
_MOST_WORDS: Final = 200
_NO_ACCESS: Final = re.compile(
    "credential|token request|imds|account must be specified|metadata/identity", re.IGNORECASE
)
_FULL: Final = "No space left on device"
_AMAZON: Final = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL if the store is not Amazon's"
_AZURE: Final = "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"
_ACCESS: Final = {
    **dict.fromkeys(("s3", "s3a"), _AMAZON),
    **dict.fromkeys(("az", "abfs", "abfss"), _AZURE),
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
}


def explain_store(error: Exception, place: str, *, was_open: bool) -> SinkError:
    """Return what to raise for an error of the store.

    Args:
        error: What deltalake raised.
        place: Folder or URL of the table.
        was_open: Whether the table could be used before, so that the same call may succeed later.
    """
    text = " ".join(_ANSI.sub("", str(error)).split())
    variables = _ACCESS.get(place.partition("://")[0])
    if variables is not None and _NO_ACCESS.search(text):
        return SinkError(
            f"cannot use the Delta table {quoted(place)}: there are no credentials for its store. Set {variables}, "
            "or pass them in storage_options"
        )
    words = text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS]}…"
    explained = SinkError(
        f"cannot use the Delta table {quoted(place)}: {words}. Check the folder or URL, and the store's access "
        "(storage_options, or AWS_… in the environment)"
    )
    explained.is_temporary = was_open and _FULL not in text
    return explained
