"""Becomes the given program, after asking to be told when the parent dies.

Runs as a program of its own, because no Python may run between fork and exec in a process with threads:
`python -I -S leash.py PARENT_PID PROGRAM ARGUMENT...`
"""

import ctypes
import os
import signal
import sys

# From <sys/prctl.h>; see prctl(2). It survives exec; the signal comes when the thread that forked us ends.
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Replace this process; the pid stays."""
    parent_pid, program = int(sys.argv[1]), sys.argv[2]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent_pid:
            # It died before we had asked.
            raise SystemExit(1)
    os.execv(program, sys.argv[2:])


if __name__ == "__main__":
    main()
