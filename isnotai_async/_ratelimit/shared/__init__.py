"""The client half of a limit that processes share, whatever store they share it through."""
