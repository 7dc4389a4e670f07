"""Masks of objects: how files hold them (RLE), their frames, parts, borders and overlaps, and their refinement by the image."""
