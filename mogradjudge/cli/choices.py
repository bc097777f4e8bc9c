"""What options may be, and what they are if nobody says: the package's own, for the help.

The package's modules take a second to import, and a shell asks for completions at each key. A test
holds these equal to what they stand for.
"""

from __future__ import annotations

from typing import Final

MODES: Final = ("SSS", "SSC", "SCC", "CCC")
AUTO: Final = ("light", "medium", "heavy")
GATES: Final = ("mean", "criterion", "none")
LEVELS: Final = ("pooled", "group")
LAYOUTS: Final = ("combined", "separate")
SCORE_RULES: Final = ("integer", "expected", "mean_of_n")
SAMPLERS: Final = ("tpe", "nsga2", "random", "grid")
PRUNERS: Final = ("none", "median")
VALUES: Final = ("agreement", "criteria", "calls_per_text", "tokens_per_text")
SHELLS: Final = ("bash", "zsh", "fish")

STEPS: Final = 6
CRITIC_TEMPERATURE: Final = 0.3
COACH_TEMPERATURE: Final = 0.3
EDITOR_TEMPERATURE: Final = 0.7
REPLY_RETRIES: Final = 2
MAX_SECTION_CHARS: Final = 2000
TIMEOUT: Final = 120.0
