"""The colours."""

from textual.theme import Theme

THEME = Theme(
    name="llama",
    primary="#d9a441",
    secondary="#7fb0c9",
    accent="#d9a441",
    success="#8fbf7f",
    warning="#e5b567",
    error="#e8746a",
    foreground="#d8dde6",
    background="#11151b",
    surface="#161b23",
    panel="#1e2530",
    dark=True,
    variables={
        "footer-key-foreground": "#d9a441",
        "footer-description-foreground": "#9aa5b4",
        "footer-background": "#11151b",
        "block-cursor-background": "#2c3b50",
        "block-cursor-foreground": "#ffffff",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "#1e2530",
        "block-cursor-blurred-foreground": "#d8dde6",
        "block-cursor-blurred-text-style": "none",
        "scrollbar": "#2c3644",
        "scrollbar-hover": "#3a4758",
        "scrollbar-active": "#d9a441",
        "scrollbar-background": "#11151b",
        "scrollbar-background-hover": "#11151b",
        "scrollbar-background-active": "#11151b",
        "scrollbar-corner-color": "#11151b",
    },
)
