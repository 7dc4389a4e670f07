"""`boxrefine convert map-network`, run as `python tools/convert_map_network.py`."""

import sys

from boxrefine_d2.cli.convert_map_network import main

if __name__ == "__main__":
    sys.exit(main())
