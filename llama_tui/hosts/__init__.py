"""How a command reaches a machine: over SSH, or as a subprocess of this one. The same verbs for both."""
