"""The API's settings."""

from __future__ import annotations

import re

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from timer_api.timers.target import check_url
from timer_db.settings import DatabaseSettings

_KEY_CHARACTERS_MIN = 32
_KEY = re.compile(r"[!-+\--~]+")
"""Printable ASCII (RFC 9110, 5.5) but the comma."""


class ApiSettings(DatabaseSettings):
    """Read from the environment; the names there begin with TIMER_."""

    model_config = SettingsConfigDict(env_prefix="TIMER_", frozen=True, extra="ignore")

    api_host: str = Field("127.0.0.1", min_length=1, description="The address that the API listens on.")
    api_port: int = Field(8000, ge=0, le=65_535, description="Its port; 0 takes a free one, which the log names.")
    api_queue_timers: int = Field(
        4096,
        ge=1,
        le=1_000_000,
        description="How many creates may wait for a database; past it the answer is 503 with Retry-After.",
    )
    api_queue_bytes: int = Field(
        67_108_864,
        ge=1_048_576,
        description="How many bytes of creates may wait for a database; past it the answer is 503 too.",
    )
    api_body_bytes: int = Field(
        1_048_576, ge=1024, le=8_388_608, description="The largest request body; past it the answer is 413."
    )
    api_batch_body_bytes: int = Field(
        16_777_216,
        ge=1024,
        le=67_108_864,
        description="The largest body of a batch; past it the answer is 413.",
    )
    api_batch_queue_bytes: int = Field(
        33_554_432,
        ge=1_048_576,
        description="How many bytes of batches may be in work or wait; past it the answer is 503.",
    )
    api_request_seconds: int = Field(
        60,
        ge=1,
        le=3600,
        description="How long a request may take to arrive; past it the answer is 408.",
    )
    api_stop_seconds: int = Field(
        8,
        ge=1,
        le=3600,
        description="How long a stopping API waits for calls under way; less than what the orchestrator grants.",
    )
    api_url: str = Field(
        "", description="How controllers reach the API, for the console's receiver; empty: as the browser does."
    )
    api_access_log: bool = Field(False, description="Whether the API logs each request.")
    api_keys: str = Field(
        "", repr=False, description="Keys that may do everything, separated by commas, besides those made later."
    )
    traces: bool = Field(
        False, description="Whether spans are sent, as OpenTelemetry's own variables say (OTEL_…)."
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="What is logged.")

    @field_validator("api_url")
    @classmethod
    def _url_can_be_called(cls, value: str) -> str:
        return check_url(value) if value else value

    @field_validator("api_keys")
    @classmethod
    def _keys_are_fit(cls, value: str) -> str:
        """Nothing of a key is told, since this ends in a log."""
        keys = value.split(",") if value else []
        for number, key in enumerate(map(str.strip, keys), 1):
            if len(key) < _KEY_CHARACTERS_MIN:
                raise ValueError(f"key {number} has {len(key)} characters; it needs {_KEY_CHARACTERS_MIN} or more")
            if not _KEY.fullmatch(key):
                raise ValueError(f"key {number} must be of printable ASCII characters, without spaces and commas")
        return value

    @property
    def api_keys_given(self) -> list[str]:
        """The keys of `api_keys`."""
        return [key.strip() for key in self.api_keys.split(",")] if self.api_keys else []
