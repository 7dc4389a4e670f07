"""`boxrefine convert dino-resnet`, run as `python tools/convert_dino_resnet.py`."""

import sys

from boxrefine_d2.cli.convert_dino_resnet import main

if __name__ == "__main__":
    sys.exit(main())
