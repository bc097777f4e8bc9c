"""Values known by a digest: the same in every process, for whatever an example may hold."""

from __future__ import annotations

import hashlib
import json


def digest(value: object) -> str:
    """Give a SHA-256 of a value, 64 hexadecimal digits.

    What JSON has no form for goes by the bytes that it is made of, as in the caches of `datasets`;
    its repr may leave out a part, or tell where it lies in memory.
    """
    text = json.dumps(value, sort_keys=True, default=_by_content)
    return hashlib.sha256(text.encode()).hexdigest()


def _by_content(value: object) -> str:
    from datasets.fingerprint import Hasher  # slow to import, and rarely needed

    return f"{type(value).__qualname__} {Hasher.hash(value)}"
