"""llama-tui: from "I want a Llama endpoint on a rented GPU" to an answer, to the receipt."""

__version__ = "0.1.0"
