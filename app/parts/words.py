"""Words on pages: text from outside made safe, errors as sentences, durations and sizes."""

from __future__ import annotations


def plain(text: str) -> str:
    """Text from outside, safe to put into Markdown: shown as it stands."""
    return "".join("\\" + character if character in "\\`*_{}[]()<>#+-.!|~$:" else character for character in text)


def sentence(error: BaseException) -> str:
    """An error's message as a sentence of its own, safe to put into Markdown."""
    text = plain(str(error).strip())
    return text if text.endswith(".") else text + "."


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02} s"


def size(n_bytes: float) -> str:
    """3.1 MB."""
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"
