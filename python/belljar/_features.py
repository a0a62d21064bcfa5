"""What the deny-by-default policy allows: both sides know it, see belljar/_shared/features.py."""

from belljar._shared.features import BUILTINS, BY_NAME, ENCODINGS, FEATURES, INTERNAL, Builtin, Feature, Module

__all__ = ["BUILTINS", "BY_NAME", "ENCODINGS", "FEATURES", "INTERNAL", "Builtin", "Feature", "Module"]
