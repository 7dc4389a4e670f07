"""Training loop, checkpoints, hooks, launch and the registry of jobs, for any task."""
