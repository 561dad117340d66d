"""Makes `python -m llama_tui` the same as the command."""

from llama_tui.cli.main import main

if __name__ == "__main__":
    main()
