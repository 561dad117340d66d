"""Words and decisions: pure, standard library only."""
