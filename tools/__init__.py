"""The commands: thin scripts, run as `python tools/NAME.py`; a wheel carries them as `boxrefine_d2.tools`."""
