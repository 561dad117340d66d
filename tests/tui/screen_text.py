"""What a person sees: the words on the terminal, without colours."""

from textual.app import App


def screen_text(app: App[None]) -> str:
    """The screen as lines of text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)
