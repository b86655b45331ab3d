"""Integrations with tools of others, one module each. Each is imported by name and needs its own extra."""
