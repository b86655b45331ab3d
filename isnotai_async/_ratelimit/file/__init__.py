"""The rate limit of a key, shared by the processes of one machine through a file."""
