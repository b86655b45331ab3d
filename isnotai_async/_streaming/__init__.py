"""Walks over pages, and streams of many sessions."""
