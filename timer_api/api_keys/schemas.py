"""What a client may say about an API key, and what it is shown."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, Required

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from timer_api.errors import FieldError, from_validation, invalid
from timer_db.domain.api_key import COLLECTIONS_MAX, ID_PATTERN, KEY_PATTERN, RATE_MAX, ApiKey, NewApiKey, Scope
from timer_db.domain.names import NAME_MAX, check_name
from timer_db.domain.representation import rfc3339

_STRICT = ConfigDict(extra="forbid", strict=True)

_Name = Annotated[
    str,
    Field(min_length=1, max_length=NAME_MAX, json_schema_extra={"format": "printable-name"}),
    AfterValidator(check_name),
]
_Scope = Annotated[Scope, Field(strict=False)]
_Count = Annotated[int, Field(ge=1, le=RATE_MAX)]


@with_config(_STRICT)
class ApiKeyAsked(TypedDict, total=False):
    """What a key is to be."""

    name: Required[Annotated[_Name, Field(description="For people: who has it.", examples=["billing"])]]
    scopes: Required[
        Annotated[
            list[_Scope],
            Field(
                min_length=1,
                description="What it allows: `timers:read` to look, `timers:write` to make and to cancel; `admin` "
                "for keys, and for everything.",
                examples=[["timers:read", "timers:write"]],
            ),
        ]
    ]
    collections: Annotated[
        list[_Name],
        Field(
            min_length=1,
            max_length=COLLECTIONS_MAX,
            description="Only timers of these collections; without it, of every one. Not with `admin`.",
            examples=[["default"]],
        ),
    ]
    rate_per_second: Annotated[
        _Count,
        Field(
            description="How many calls a second it may be used for, in each process of the API; a batch counts "
            "as many as it has timers. Without it, there is no limit.",
        ),
    ]
    burst: Annotated[
        _Count, Field(description="How many calls at once after a rest; by default as many as in a second.")
    ]


_ASKED: TypeAdapter[ApiKeyAsked] = TypeAdapter(ApiKeyAsked)


class ApiKeyShown(TypedDict):
    """A key as it stands, without what makes it one."""

    id: Annotated[str, Field(pattern=ID_PATTERN, description="The part of the key behind `tk_`.")]
    name: str
    scopes: list[Scope]
    collections: Annotated[list[str] | None, Field(description="Null: every collection.")]
    rate_per_second: Annotated[int | None, Field(description="Null: no limit.")]
    burst: int | None
    created_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    last_used_at: Annotated[str | None, Field(description="To within two minutes.")]
    revoked_at: Annotated[str | None, Field(description="Null while it is valid.")]
    key: NotRequired[
        Annotated[str, Field(pattern=KEY_PATTERN, description="The key itself; only right after it was made.")]
    ]


class ApiKeyPageShown(TypedDict):
    """Some keys, and where the next ones are."""

    api_keys: list[ApiKeyShown]
    next_cursor: Annotated[
        str | None, Field(description="Give it as `cursor` for the next page; null at the end.")
    ]


def check(document: dict[str, Any], *, is_first: bool) -> NewApiKey:
    """The key that is asked for; else a 422 that names each field at fault."""
    try:
        asked = _ASKED.validate_python(document)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise from_validation(faults) from None
    new = NewApiKey(
        name=asked["name"],
        scopes=frozenset(asked["scopes"]),
        collections=frozenset(asked["collections"]) if "collections" in asked else None,
        rate_per_second=asked.get("rate_per_second"),
        burst=asked.get("burst"),
    )
    wrong = [FieldError(field, message) for field, message in new.faults()]
    if is_first and Scope.admin not in new.scopes:
        message = "the first key needs admin: from then on nobody else could make one"
        wrong.append(FieldError("scopes", message))
    if wrong:
        raise invalid(wrong)
    return new


def shown(key: ApiKey) -> ApiKeyShown:
    """A key for an answer."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "collections": None if key.collections is None else sorted(key.collections),
        "rate_per_second": key.rate_per_second,
        "burst": key.burst,
        "created_at": rfc3339(key.created_at_us),
        "last_used_at": None if key.last_used_at_us is None else rfc3339(key.last_used_at_us),
        "revoked_at": None if key.revoked_at_us is None else rfc3339(key.revoked_at_us),
    }
