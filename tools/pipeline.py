"""`boxrefine pipeline`, run as `python tools/pipeline.py`."""

import sys
from pathlib import Path

from boxrefine_d2.cli.pipeline import main

if __name__ == "__main__":
    sys.exit(main(tools=Path(__file__).parent))
