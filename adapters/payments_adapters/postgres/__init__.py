"""Postgres: stored state, and the only place that knows SQL."""
