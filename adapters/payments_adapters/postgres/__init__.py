"""Postgres: what is remembered, and the only place that knows SQL."""
