"""The pretend Lambda: the vendor's API over loopback HTTP, machines as folders behind a real SSH server."""
