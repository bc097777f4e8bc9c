"""What a measurement lets one say: the words of the package, for all benchmarks."""

from mogradjudge.claims import ALPHA, Claim, Verdict, claim, refused

__all__ = ["ALPHA", "Claim", "Verdict", "claim", "refused"]
