"""A real MySQL or MariaDB server in a private folder, for `make run` and the tests.

`finding` chooses a server program: `engines` knows those at hand, `packages` unpacks one without root;
`datadir` keeps what a server leaves on disk, `server` starts and stops it.
"""

from timer_db.embedded.datadir import remembered_kind
from timer_db.embedded.engines import Engine, EngineKind
from timer_db.embedded.errors import EmbeddedError
from timer_db.embedded.finding import find_engine, install_engine
from timer_db.embedded.server import EmbeddedServer

__all__ = [
    "EmbeddedError",
    "EmbeddedServer",
    "Engine",
    "EngineKind",
    "find_engine",
    "install_engine",
    "remembered_kind",
]
