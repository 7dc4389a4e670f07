"""`boxrefine convert grounding-checkpoint`, as `python tools/convert_grounding_checkpoint.py`."""

import sys

from boxrefine_d2.cli.convert_grounding_checkpoint import main

if __name__ == "__main__":
    sys.exit(main())
