"""How receivers' certificates are verified."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi


def verifying_context() -> ssl.SSLContext:
    """The machine's own trusted roots; Mozilla's, which come with httpx, where the machine has none."""
    context = ssl.create_default_context()
    if not _machine_has_roots():
        context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _machine_has_roots() -> bool:
    paths = ssl.get_default_verify_paths()
    if paths.cafile is not None:
        return True
    # Looked at by name, because OpenSSL reads such a folder only when it verifies.
    return paths.capath is not None and any(Path(paths.capath).glob("*.0"))
