"""Face two: the Textual app, the only place that imports textual."""
