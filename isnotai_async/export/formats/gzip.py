"""JSON Lines in gzip, as one member: some readers stop at the end of the first one, without an error."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from isnotai_async.export.batches import Batch
from isnotai_async.export.formats.jsonl import encode_jsonl

_GZIP: Final = (
    31  # zlib's code for a gzip header, which it writes without time and name: the same rows, the same bytes
)


def encode_gzip(batches: Iterable[Batch]) -> Iterator[bytes]:
    """Encode batches; the chunks are one gzip member together."""
    packer = zlib.compressobj(wbits=_GZIP)
    for chunk in encode_jsonl(batches):
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()
