"""Compile, benchmark and drop in LLM judges that rate text on several criteria at once."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

__version__ = version("mogradjudge")

if TYPE_CHECKING:
    from mogradjudge.exports import *  # noqa: F403
else:

    def __getattr__(name: str) -> object:
        """Import what is exported, once somebody asks for a part of it.

        DSPy takes a second and more to import, and ``mogradjudge --help`` and a shell that
        completes a word do without it.
        """
        if not name.startswith("__") or name == "__all__":  # others are Python's own questions
            exports = import_module("mogradjudge.exports")
            found = {each: getattr(exports, each) for each in exports.__all__}
            globals().update(found, __all__=exports.__all__)
            if name in globals():  # a module of the package is here too, now
                return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        __getattr__("__all__")
        return sorted(globals())
