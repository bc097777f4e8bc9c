"""What is no text among a program's values: images, audio, files."""

from __future__ import annotations

import dspy


def name_of_media(value: object) -> str | None:
    """Name an image, audio or a file, as in ``(Image)``; None for any other value.

    It stands for the value in prompts and logs: the bytes as text would say nothing, at any length.
    """
    if isinstance(value, (dspy.Image, dspy.Audio, dspy.File)):
        return f"({type(value).__name__})"
    return None
