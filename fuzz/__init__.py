"""`make fuzz`: damaged, hostile and interrupted use of every command, by a seed, and what became of it."""
