"""An empty database with nobody on it."""

from __future__ import annotations

import pytest

from tests.db.desk import Desk
from timer_db.shards import Shards


@pytest.fixture
def desk(shards: Shards) -> Desk:
    """One empty database."""
    return Desk(shards)
