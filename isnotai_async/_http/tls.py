"""Reads the option ``ssl=``: an `SSLContext`, or a file of certificate authorities to trust."""

from __future__ import annotations

import os
import ssl

from isnotai_async.errors import ConfigError, quoted

Trust = ssl.SSLContext | str | os.PathLike[str]


def read_trust(value: Trust | None) -> ssl.SSLContext | None:
    """Return the TLS context that verifies servers; None for the system's authorities.

    Args:
        value: A context, or the path of a PEM file. If it is a file, only its authorities are trusted.

    Raises:
        ConfigError: The file cannot be read or has no certificate, or the context does not verify servers.
    """
    if value is None:
        return None
    if isinstance(value, ssl.SSLContext):
        if value.verify_mode is not ssl.CERT_REQUIRED or not value.check_hostname:
            raise ConfigError(
                "the SSLContext passed as ssl= does not verify certificates and host names, so anyone could read the "
                "key; to trust a private authority, pass its PEM file as ssl="
            )
        return value
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(f"ssl must be an ssl.SSLContext or the path of a PEM file, not {type(value).__name__}")
    path = os.fspath(value)
    shown = quoted(path)
    try:
        return ssl.create_default_context(cafile=path or "?")  # an empty path would mean the system's authorities
    except ssl.SSLError:
        fault = f"{shown}, passed as ssl=, has no certificate in PEM form"
    except (OSError, ValueError) as error:
        fault = f"cannot read {shown}, passed as ssl=: {getattr(error, 'strerror', None) or error}"
    raise ConfigError(f"{fault}; pass the file of certificate authorities to trust")
