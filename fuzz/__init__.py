"""`make fuzz`: seeded tries of damaged, hostile and interrupted use of every command."""
