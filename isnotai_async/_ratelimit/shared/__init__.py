"""The part of a shared limit that runs in each process, independent of the store."""
