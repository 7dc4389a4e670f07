"""Files from outside and files that are written: read with a reason when they cannot be, whole or absent."""
