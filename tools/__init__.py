"""Thin scripts of the commands, run as `python tools/NAME.py`.

A wheel carries them as `boxrefine_d2.tools`.
"""
