"""HTTP: endpoints, decoding, sending, retries and rate-limited sending."""
