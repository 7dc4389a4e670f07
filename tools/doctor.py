"""`boxrefine doctor`, run as `python tools/doctor.py`, which needs no installed package."""

import sys

try:
    from boxrefine_d2.cli.doctor import main
except ModuleNotFoundError as error:
    print(
        f"error: boxrefine_d2 is not installed in {sys.executable} ({error}); in its folder run "
        "`make setup`, then `source .venv/bin/activate`",
        file=sys.stderr,
    )
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
