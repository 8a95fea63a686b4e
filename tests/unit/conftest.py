"""Hypothesis: no deadline, since test machines are slow at times, and nothing kept between runs."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("ours", deadline=None, max_examples=60, database=None)
settings.load_profile("ours")
