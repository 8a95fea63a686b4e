"""Which service, and which key: from flags, the environment, or a profile of the configuration file.

# ~/.config/timerctl/config.toml
profile = "local"

[profiles.local]
url = "http://127.0.0.1:8000"

[profiles.production]
url = "https://timers.example.com"
key_file = "~/.secrets/timer-key"
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from timer_client.client import DEFAULT_URL, KEY, URL
from timer_client.ctl.faults import Fault

PROFILE = "TIMERCTL_PROFILE"
_MEMBERS = frozenset({"url", "key", "key_file"})


@dataclass(frozen=True, slots=True)
class Target:
    """The service that is spoken to."""

    url: str
    key: str | None = field(repr=False)
    profile: str | None


def config_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the file is, or would be."""
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "~")).expanduser() / ".config"
    return Path(home) / "timerctl" / "config.toml"


def target_of(
    url: str | None, key: str | None, profile: str | None, environment: Mapping[str, str] = os.environ
) -> Target:
    """What was said on the command line wins over the environment, and that over the profile that is usual there.

    A key goes to the URL that it stands beside, and to no other one; `--key` goes wherever the call goes.
    """
    path = config_path(environment)
    name, settings = _profile(path, profile or environment.get(PROFILE))
    # A profile that the command line names is taken as a whole.
    around: Mapping[str, str] = {} if profile else environment
    of_profile = settings.get("url", DEFAULT_URL)
    where = url or around.get(URL) or of_profile
    if not key and _is_same(where, around.get(URL) or where):
        key = around.get(KEY)
    if not key and _is_same(where, of_profile):
        key = _key_of(settings, path)
    return Target(where, key, name)


def _is_same(url: str, other: str) -> bool:
    return url.rstrip("/") == other.rstrip("/")


def _profile(path: Path, wanted: str | None) -> tuple[str | None, dict[str, str]]:
    if not path.exists():
        if wanted:
            raise Fault(f"there is no profile {wanted!r}: {path} does not exist")
        return None, {}
    try:
        document = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Fault(f"{path}: {error}") from None
    name = wanted or document.get("profile")
    if name is None:
        return None, {}
    settings = document.get("profiles", {}).get(name)
    if not isinstance(settings, dict):
        known = ", ".join(sorted(document.get("profiles", {}))) or "none"
        raise Fault(f"{path}: there is no profile {name!r}; there are: {known}")
    for member, value in settings.items():
        if member not in _MEMBERS or not isinstance(value, str):
            raise Fault(f"{path}: profiles.{name}.{member}: it must be one of url, key, key_file, and a text")
    return name, settings


def _key_of(settings: Mapping[str, str], path: Path) -> str | None:
    if "key_file" not in settings:
        return settings.get("key")
    file = Path(settings["key_file"]).expanduser()
    try:
        return file.read_text().strip()
    except OSError as error:
        raise Fault(f"{path}: key_file: {file}: {error.strerror}") from None
