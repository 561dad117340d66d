"""Face one: commands."""
