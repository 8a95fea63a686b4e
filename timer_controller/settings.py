"""The controller's settings."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from timer_controller.egress import DENY_PORTS, parse_ports
from timer_controller.sender.target import UrlRefused, parse_destination, split_url
from timer_controller.signing import parse_secrets
from timer_db.domain.address_ranges import parse_ranges
from timer_db.settings import DatabaseSettings


class ControllerSettings(DatabaseSettings):
    """Read from the environment; the names there begin with TIMER_."""

    model_config = SettingsConfigDict(env_prefix="TIMER_", frozen=True, extra="ignore")

    poll_seconds: float = Field(
        0.5, ge=0.01, le=60, description="How often a controller looks for timers that are due soon."
    )
    lease_seconds: float = Field(
        5.0,
        ge=1,
        le=300,
        description="How long a controller may be silent before others take its timers over. The same for all.",
    )
    calls_max: int = Field(1024, ge=1, le=20_000, description="Calls that a controller has in flight at most.")
    destination_calls_max: int = Field(
        64, ge=1, le=20_000, description="Those to one receiver at most; fewer, the more there are to others."
    )
    hands_max: int = Field(
        4000, ge=1, le=50_000, description="Timers that a controller holds at most, those in flight included."
    )
    breaker_failures: int = Field(
        5, ge=1, le=1_000_000, description="So many failed calls in a row, and a receiver is not called for now."
    )
    breaker_seconds: float = Field(
        1.0, ge=0.01, le=3600, description="After that time one call is tried; the time doubles while it fails."
    )
    breaker_patience_seconds: float = Field(
        3600.0, ge=0, description="After that time the timers of a receiver that fails do not wait any more."
    )
    drain_seconds: float = Field(
        25.0, gt=0, description="How long a stopping controller waits for calls in flight and for the database."
    )
    retention_days: int = Field(
        7, ge=0, le=36_500, description="How long ended timers and their attempts are kept; 0 is for ever."
    )
    controller_host: str = Field("127.0.0.1", description="Where the controller's health endpoints listen.")
    controller_port: int = Field(0, ge=0, le=65_535, description="Their port; 0 is none.")
    egress_allow: str = Field(
        "",
        description="Address ranges (CIDR, separated by commas) that may be called though they are not public.",
    )
    egress_deny_ports: str = Field(
        DENY_PORTS,
        description="Ports (numbers and ranges of them, separated by commas) that are not called at any address.",
    )
    egress_proxy: str | None = Field(None, repr=False, description="An HTTP proxy that every call goes through.")
    signing_secrets: str = Field(
        "",
        repr=False,
        description="Secrets that calls are signed with, each whsec_ and base64 of 24 to 64 bytes, separated by"
        " commas or spaces. Without any, calls are not signed.",
    )
    traces: bool = Field(
        False, description="Whether spans are sent, as OpenTelemetry's own variables say (OTEL_…)."
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="What is logged.")

    @field_validator("egress_allow")
    @classmethod
    def _ranges_parse(cls, value: str) -> str:
        parse_ranges(value)
        return value

    @field_validator("egress_deny_ports")
    @classmethod
    def _ports_parse(cls, value: str) -> str:
        parse_ports(value)
        return value

    @field_validator("egress_proxy")
    @classmethod
    def _proxy_parses(cls, value: str | None) -> str | None:
        if value:
            try:
                parse_destination(split_url(value)[0])
            except UrlRefused as error:
                raise ValueError(f"{error}; it must read http://user:password@host:port") from None
        return value

    @field_validator("signing_secrets")
    @classmethod
    def _secrets_parse(cls, value: str) -> str:
        parse_secrets(value)
        return value
