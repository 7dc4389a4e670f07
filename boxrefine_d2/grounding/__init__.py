"""Heatmaps of phrases: training, refinement, and "what is where" without phrases.

The room needs the extra `grounding`.
"""
