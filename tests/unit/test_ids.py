"""Timer ids are UUIDv7 with the shard's number in `rand_a`."""

from __future__ import annotations

from uuid import RFC_4122, UUID, uuid1, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timer_db.domain import ids

TIMES_US = st.integers(0, 253_402_300_799_999_999)
SHARD_NUMBERS = st.integers(0, ids.SHARDS_MAX - 1)
NOISE = st.binary(min_size=8, max_size=8)


@given(TIMES_US, SHARD_NUMBERS, NOISE)
def test_layout_is_that_of_rfc_9562(now_us: int, shard: int, random: bytes) -> None:
    timer_id = ids.new_id(now_us, shard, random=random)

    assert timer_id.version == 7
    assert timer_id.variant == RFC_4122
    assert int.from_bytes(timer_id.bytes[:6], "big") == ids.created_at_ms(timer_id) == now_us // 1000
    assert ids.shard_of(timer_id) == shard
    assert timer_id.int & (1 << 62) - 1 == int.from_bytes(random, "big") & (1 << 62) - 1
    assert ids.is_timer_id(timer_id)


@given(st.tuples(TIMES_US, SHARD_NUMBERS, NOISE), st.tuples(TIMES_US, SHARD_NUMBERS, NOISE))
def test_later_ids_sort_behind(one: tuple[int, int, bytes], other: tuple[int, int, bytes]) -> None:
    """By bytes, as the database compares them."""
    first, second = sorted([one, other], key=lambda made: (made[0] // 1000, made[1]))
    if (first[0] // 1000, first[1]) != (second[0] // 1000, second[1]):
        assert (
            ids.new_id(first[0], first[1], random=first[2]).bytes
            < ids.new_id(second[0], second[1], random=second[2]).bytes
        )


def test_ids_of_one_moment_differ() -> None:
    assert len({ids.new_id(1_800_000_000_000_000) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("shard", [-1, ids.SHARDS_MAX])
def test_a_shard_that_does_not_fit_is_refused(shard: int) -> None:
    with pytest.raises(ValueError, match=str(shard)):
        ids.new_id(0, shard)


@pytest.mark.parametrize(
    "other",
    [uuid1(), uuid4(), UUID(int=0), UUID("018f3f1e-7b2a-7001-0000-000000000000")],
    ids=["version 1", "version 4", "nil", "another variant"],
)
def test_other_uuids_are_no_timer_ids(other: UUID) -> None:
    assert not ids.is_timer_id(other)


@given(st.uuids())
def test_bytes_to_text_is_the_text_form(value: UUID) -> None:
    assert ids.bytes_to_text(value.bytes) == str(value)


def test_many_ids_ascend_and_differ_in_nothing_else() -> None:
    made = ids.new_ids(1_800_000_000_123_456, 17, 1000)
    assert made == sorted(set(made))
    for timer_id in made:
        assert ids.is_timer_id(timer_id)
        assert (ids.shard_of(timer_id), ids.created_at_ms(timer_id)) == (17, 1_800_000_000_123)
        assert timer_id == UUID(str(timer_id))
        assert timer_id.is_safe is UUID(str(timer_id)).is_safe
    assert ids.new_ids(0, 0, 0) == []
