"""Decisions of the campaign runner: pure functions of values. Imports only the standard library."""
