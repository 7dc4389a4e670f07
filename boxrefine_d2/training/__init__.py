"""The training loop, its checkpoints, hooks and launch, and the registry of jobs. It knows no task."""
