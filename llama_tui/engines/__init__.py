"""Which server serves the model: pure, values in, shell text out."""
