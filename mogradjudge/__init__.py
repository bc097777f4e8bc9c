"""Compile, benchmark and use LLM judges that rate text on several criteria at once."""

from importlib.metadata import version

import lazy_loader

__version__ = version("mogradjudge")

# DSPy takes a second and more to import, and `mogradjudge --help` does without it: a name is
# imported when somebody asks for it. The names and their types are in `__init__.pyi`.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
