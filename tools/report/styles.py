"""How the page looks: each class as inline style, which every mail program takes, and what is other in the dark."""

from __future__ import annotations

FONT = "-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
BLUE, GREEN = "#2f6fde", "#1a8a4c"
# Class: style in light, what is other in dark.
CLASSES = {
    "back": ("background-color:#eef0f3", "background-color:#0d1015"),
    "card": ("background-color:#ffffff", "background-color:#171b21"),
    "text": ("color:#1c2128", "color:#e4e7eb"),
    "muted": ("color:#616975", "color:#9aa4b1"),
    "link": ("color:#1c4fa8;text-decoration:none", "color:#8ab4ff"),
    "good": ("color:#157a41", "color:#55c98a"),
    "bad": ("color:#b3261e", "color:#ff8a80"),
    "line": ("border-top:1px solid #e4e7eb", "border-top-color:#2a3038"),
    "box": ("background-color:#f6f7f9", "background-color:#1f252d"),
    "alarm": ("background-color:#fdeceb", "background-color:#3a1d1c"),
    "bar": ("background-color:#2f6fde", "background-color:#5b93f5"),
    "open": ("background-color:#a9c5f5", "background-color:#35537f"),
}
DARK = "\n".join(f".{name}{{{dark} !important}}" for name, (_, dark) in CLASSES.items() if dark)
SHEET = (
    "body{margin:0;padding:0}\n"
    f"@media (prefers-color-scheme:dark){{\n{DARK}\n}}\n"
    "@media (max-width:480px){.half{display:block !important;width:100% !important;padding:0 0 8px !important}}"
)


def look(names: str, style: str = "") -> str:
    """Attributes of an element with these classes, and a style of its own."""
    light = ";".join(CLASSES[name][0] for name in names.split() if name in CLASSES)
    both = ";".join(part for part in (light, style) if part)
    return f' class="{names}" style="{both}"' if names else f' style="{both}"'
