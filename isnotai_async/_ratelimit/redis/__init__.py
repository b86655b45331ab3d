"""The rate limit of a key, shared by processes through Redis."""
