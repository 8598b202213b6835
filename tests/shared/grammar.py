"""What a user is told that a specification or a rate must be, word for word."""

from __future__ import annotations

LAYERS = (
    "indices from 0 as in '0,2,4' or '0-3,8', 'every_other:K', 'first:K', 'last:K', 'learned:K', "
    "or 'drop:P' with 0 < P <= 0.5"
)
RATES = (
    "a rate P with 0 <= P < 1 as in '0.2', one for each layer as in '0.1,0.2,0.3', "
    "'linear:A:B' from the first layer to the last, or 'target:K' for P = 1 - K/N"
)
