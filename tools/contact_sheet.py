"""`boxrefine sheet`, run as `python tools/contact_sheet.py`."""

import sys

from boxrefine_d2.cli.contact_sheet import main

if __name__ == "__main__":
    sys.exit(main())
