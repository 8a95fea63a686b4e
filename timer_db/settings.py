"""The database's settings for the command line; the services have theirs, with these in them."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from timer_db.encryption import Keyring, parse_keys
from timer_db.engine import parse_url


class DatabaseSettings(BaseSettings):
    """How to reach the database, read from the environment."""

    model_config = SettingsConfigDict(env_prefix="TIMER_", frozen=True, extra="ignore")

    db_url: str = Field(
        repr=False,
        description="The database: mysql://user:password@host:3306/database; several, separated by commas,"
        " are shards. Their order is part of the ids, so append only.",
    )
    db_pool_size: int = Field(8, ge=2, le=100, description="Connections to each database per process.")
    db_connect_attempts: int = Field(
        0, ge=0, description="How often a service tries to reach the database at start; 0 is for ever."
    )
    db_connect_wait_seconds: float = Field(
        0.5, gt=0, description="The wait after the first failed try; it doubles, with jitter."
    )
    db_connect_wait_max_seconds: float = Field(5.0, gt=0, description="The longest wait between two tries.")
    encryption_keys: str = Field(
        "",
        repr=False,
        description="Keys for what timers carry, as id:base64 of 32 bytes, separated by commas: the first"
        " encrypts, all decrypt. Without any, nothing is encrypted.",
    )
    log_format: str = Field(
        "auto",
        pattern="^(auto|json|text)$",
        description="How: text for people, json for programs; auto is text on a terminal, else json.",
    )

    @field_validator("db_url")
    @classmethod
    def _urls_parse(cls, value: str) -> str:
        for number, url in enumerate(value.split(",")):
            try:
                parse_url(url)
            except ValueError as error:
                raise ValueError(f"database {number}: {error}") from None
        return value

    @field_validator("encryption_keys")
    @classmethod
    def _keys_parse(cls, value: str) -> str:
        parse_keys(value)
        return value

    @property
    def keyring(self) -> Keyring:
        """The encryption keys."""
        return Keyring(parse_keys(self.encryption_keys))

    @property
    def db_urls(self) -> list[str]:
        """One URL per shard."""
        return [url.strip() for url in self.db_url.split(",")]
