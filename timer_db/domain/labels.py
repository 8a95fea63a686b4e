"""What labels look like: Kubernetes' rules ("Labels and Selectors", syntax and character set)."""

from __future__ import annotations

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"

LABELS_MAX = 64
KEY_CHARACTERS_MAX = 317
VALUE_CHARACTERS_MAX = 63
KEY_PATTERN = rf"^(?:{_DNS_LABEL}(?:\.{_DNS_LABEL})*/)?{_NAME}$"
"""A name of at most 63 characters, which may stand behind a DNS prefix and a slash."""
VALUE_PATTERN = rf"^(?:{_NAME})?$"
KEY_IN_WORDS = (
    "a label's key is a name as in Kubernetes, at most 63 characters long, and may stand behind"
    " a DNS prefix: env, example.com/env"
)
VALUE_IN_WORDS = (
    "a label's value has letters, digits, '-', '_' and '.', begins and ends with a letter or digit,"
    " and is at most 63 characters long"
)
