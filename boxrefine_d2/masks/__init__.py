"""Masks of objects: RLE in files, frames, parts, borders, overlaps, and refinement by the image."""
