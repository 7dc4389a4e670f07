"""The command `python -m boxrefine_d2.cli`, the same as `boxrefine`."""

import sys

from . import main

sys.exit(main())
