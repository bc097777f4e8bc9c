"""Which texts a run has read, and which it held out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import dspy

from mogradjudge.data import example_key, group_of
from mogradjudge.errors import SetupError
from mogradjudge.files import read_json, to_json, write_text

logger = logging.getLogger(__name__)

PARTS = "parts.json"
_TEST, _CONFIRMATION = "test", "confirmation"


@dataclass(frozen=True)
class Parts:
    """The keys of a run's texts (`example_key`), by the part that they belong to.

    All parts but ``"test"`` were read by the run: they decided what it wrote or kept.

    >>> texts = [dspy.Example(text=text).with_inputs("text") for text in "abc"]
    >>> parts = Parts.of({"training": texts[:1], "validation": texts[1:2], "test": texts[2:]})
    >>> [example.text for example in parts.read(texts)], parts.held_out(texts)[0].text
    (['a', 'b'], 'c')
    """

    keys: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, data: Mapping[str, Iterable[dspy.Example]]) -> Self:
        """Return the parts of these examples."""
        return cls(
            {name: tuple(dict.fromkeys(map(example_key, part))) for name, part in data.items()}
        )

    @classmethod
    def read_from(cls, folder: Path) -> Self | None:
        """Read the parts of the run in a folder; None if it has written none.

        Raises:
            SetupError: If the file is damaged.
        """
        path = folder / PARTS
        if not path.exists():
            return None
        parts = read_json(path, "Remove it to do without.")
        if not all(isinstance(keys, list) for keys in parts.values()):
            raise SetupError(f"{path} must hold lists of keys. Remove it to do without.")
        return cls({name: tuple(map(str, keys)) for name, keys in parts.items()})

    def including(self, earlier: Iterable[Parts]) -> Parts:
        """Return these parts, and beside them all texts that earlier runs have read.

        >>> Parts({"calibration": ("b",)}).including([Parts({"training": ("a",), "test": ("c",)})])
        Parts(keys={'calibration': ('b',), 'earlier': ('a',)})
        """
        read = dict.fromkeys(
            key
            for parts in earlier
            for name, part in parts.keys.items()
            if name != _TEST
            for key in part
        )
        return Parts({**self.keys, "earlier": tuple(read)})

    def write_to(self, folder: Path) -> None:
        """Write the parts into a run's folder."""
        write_text(folder / PARTS, to_json(self.keys) + "\n")

    def read(self, examples: Iterable[dspy.Example]) -> list[dspy.Example]:
        """Return the examples that the run has read."""
        keys = {key for name, part in self.keys.items() if name != _TEST for key in part}
        return [example for example in examples if example_key(example) in keys]

    def held_out(self, examples: Sequence[dspy.Example]) -> list[dspy.Example]:
        """Return the examples of the test part and those that the run did not know, and count them.

        An unknown example is left out if the run has read another one of its group.

        Raises:
            SetupError: If there are none.
        """
        groups = [group_of(example, place) for place, example in enumerate(examples)]
        places = self._places(examples)
        read_groups = {groups[place] for place in places["read"]}
        unread = [place for place in places["unknown"] if groups[place] not in read_groups]
        related = len(places["unknown"]) - len(unread)
        confirmed = self._confirmed([examples[place] for place in places["read"]])
        counts = (
            f"{len(places[_TEST])} of {len(examples)} texts are of the run's test part, "
            f"{len(unread)} are new to it, {len(places['read']) - confirmed} were read by it"
            f"{f', {confirmed} confirmed it' if confirmed else ''}"
            f"{f', and {related} belong to the group of a text that it read' if related else ''}"
        )
        held_out = sorted([*places[_TEST], *unread])
        if not held_out:
            raise SetupError(
                f"No text is held out: {counts}. Give other texts, or set --test-share when you "
                "compile."
            )
        logger.warning("--held-out: %s.", counts)
        return [examples[place] for place in held_out]

    def _confirmed(self, read: Iterable[dspy.Example]) -> int:
        """Count the examples of those that were read which only confirmed the result."""
        others = {name: keys for name, keys in self.keys.items() if name != _CONFIRMATION}
        keys = set(self.keys.get(_CONFIRMATION, ())).difference(*others.values())
        return sum(example_key(example) in keys for example in read)

    def _places(self, examples: Sequence[dspy.Example]) -> dict[str, list[int]]:
        """Sort the places of examples by what the run knows of them; one may be in two parts."""
        read, test = set(map(example_key, self.read(examples))), set(self.keys.get(_TEST, ()))
        places: dict[str, list[int]] = {"read": [], _TEST: [], "unknown": []}
        for place, key in enumerate(map(example_key, examples)):
            parts = [name for name, keys in (("read", read), (_TEST, test)) if key in keys]
            for part in parts or ["unknown"]:
                places[part].append(place)
        return places
