"""Selectors: what they match, and what is said about those that are none."""

from __future__ import annotations

import pytest

from timer_db.domain import selector as selectors
from timer_db.domain.selector import EVERYTHING, Operator, Requirement, SelectorError, parse

PROD = {"env": "prod", "zone": "a", "empty": ""}


@pytest.mark.parametrize(
    ("text", "is_met"),
    [
        ("", True),
        ("  ", True),
        ("env=prod", True),
        ("env==prod", True),
        (" env  =  prod ", True),
        ("env=test", False),
        ("env!=prod", False),
        ("env!=test", True),
        ("tier!=free", True),
        ("env in (test, prod)", True),
        ("env in (test)", False),
        ("tier in (free)", False),
        ("env notin (test)", True),
        ("env notin (prod,test)", False),
        ("tier notin (free)", True),
        ("env", True),
        ("tier", False),
        ("!tier", True),
        ("! tier", True),
        ("!env", False),
        ("empty=", True),
        ("empty==,env", True),
        ("env=", False),
        ("empty in (,x)", True),
        ("env=prod,zone=a,!tier", True),
        ("env=prod,zone=b,!tier", False),
        ("env in (prod),zone notin (b,c),tier!=free,empty", True),
    ],
)
def test_what_matches(text: str, is_met: bool) -> None:
    assert parse(text).matches(PROD) is is_met


def test_a_text_becomes_requirements() -> None:
    assert parse("a=1,b!=2,c in (y,x,y),d notin (z),e,!f").requirements == (
        Requirement("a", Operator.is_in, ("1",)),
        Requirement("b", Operator.is_not_in, ("2",)),
        Requirement("c", Operator.is_in, ("x", "y")),
        Requirement("d", Operator.is_not_in, ("z",)),
        Requirement("e", Operator.exists),
        Requirement("f", Operator.is_absent),
    )
    assert parse("") == EVERYTHING


def test_words_of_the_grammar_are_keys_and_values_too() -> None:
    labels = {"in": "notin", "notin": "in", "example.com/in": "1"}
    assert parse("in=notin,notin in (in),example.com/in=1").matches(labels)
    assert parse("in,notin").matches(labels)


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("=prod", 1, "'=' stands where a label's key should be"),
        ("env=prod,", 10, "its end stands where a label's key should be"),
        (",env", 1, "',' stands where a label's key should be"),
        ("env=prod tier=free", 10, "'tier' stands where a comma or the end should be"),
        ("env = prod = x", 12, "'=' stands where a comma or the end should be"),
        ("env=!prod", 5, "'!' stands where a value should be"),
        ("env in prod", 8, "'prod' stands where a list in parentheses should be"),
        ("env in (prod", 13, "its end stands where a comma or a closing parenthesis should be"),
        ("env in (a b)", 11, "'b' stands where a comma or a closing parenthesis should be"),
        ("env (a)", 5, "'(' stands where an operator"),
        ("env has x", 5, "'has' stands where an operator"),
        ("!!env", 2, "'!' stands where a label's key should be"),
        ("env>1", 4, "'>' cannot stand in a selector"),
        ("env=prod;x", 9, "';' cannot stand in a selector"),
        ("  env=ü", 7, "'ü' cannot stand in a selector"),
        ("env=prod, -x=1", 11, "'-x' is no key"),
        ("a/b/c=1", 1, "'a/b/c' is no key"),
        ("env=a,zone=-b", 12, "'-b' is no value"),
        (f"env={'x' * 64}", 5, "is no value"),
        (f"{'x' * 64}=1", 1, "is no key"),
    ],
)
def test_what_is_none_is_told_with_its_place(text: str, position: int, reason: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse(text)
    assert caught.value.position == position
    assert reason in str(caught.value)
    assert str(caught.value).endswith(f"at position {position}")


def test_its_size_is_bounded() -> None:
    parse(",".join(f"k{n}" for n in range(selectors.REQUIREMENTS_MAX)))
    with pytest.raises(SelectorError, match="more than 32 requirements"):
        parse(",".join(f"k{n}" for n in range(selectors.REQUIREMENTS_MAX + 1)))
    values = [str(n) for n in range(selectors.VALUES_MAX + 1)]
    parse(f"k in ({','.join(values[:-1])})")
    with pytest.raises(SelectorError, match="more than 64 values"):
        parse(f"k in ({','.join(values)})")
    with pytest.raises(SelectorError, match="more than 4,096 characters"):
        parse("k" * (selectors.CHARACTERS_MAX + 1))
