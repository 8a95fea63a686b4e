"""Settings of `make run`; those of the parts are handed on to them."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from timer_db.embedded import EngineKind


class LocalSettings(BaseSettings):
    """Read from the environment; the names there begin with TIMER_."""

    model_config = SettingsConfigDict(env_prefix="TIMER_", frozen=True, extra="ignore")

    db_url: str | None = Field(
        None, repr=False, description="A database server of your own; without it, an embedded one is started."
    )
    data_dir: Path = Field(Path(".data"), description="Where the embedded database keeps its data.")
    embedded_engine: EngineKind | None = Field(
        None, description="mysql or mariadb; without it, whichever the data or the machine has."
    )
    controllers: int = Field(1, ge=0, le=64, description="How many controllers run.")
    api_host: str = Field("127.0.0.1", min_length=1, description="The address that the API listens on.")
    api_port: int = Field(8000, ge=1, le=65_535, description="Its port.")
    egress_allow: str = Field(
        "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7",
        description="Address ranges that may be called though they are not public: here, this machine and its"
        " own networks.",
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="What is logged.")
    log_format: str = Field(
        "auto",
        pattern="^(auto|json|text)$",
        description="How: text for people, json for programs; auto is text on a terminal, else json.",
    )
