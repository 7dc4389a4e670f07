"""A heatmap of a phrase: training, refinement, and what is where without one. Needs the extra `grounding`."""
