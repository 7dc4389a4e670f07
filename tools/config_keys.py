"""`boxrefine config`, run as `python tools/config_keys.py`."""

import sys

from boxrefine_d2.cli.config_keys import main

if __name__ == "__main__":
    sys.exit(main())
