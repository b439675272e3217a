"""What kubectl-migrate says first where it cannot run; any Python 3 must be able to read this."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - it is run by whatever Python is there
    found = ".".join(str(part) for part in sys.version_info[:2])
    sys.exit("kubectl migrate: it needs Python 3.11 or newer, and this is " + found)
try:
    import msgspec  # noqa: F401 - only whether it can be
except ImportError:
    sys.exit(
        "kubectl migrate: this file holds nothing for this machine (Python 3.11 to 3.14 on Linux, or on a Mac with"
        " Apple silicon): run pipx install 'mesh-migrate[cli]' instead"
    )
