"""The rate limit of a key: its policy, and limiters within a process and across processes."""
