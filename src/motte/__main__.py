"""``python -m motte``: the same as the ``motte`` command."""

import sys

from motte.cli import main

if __name__ == "__main__":
    sys.exit(main())
