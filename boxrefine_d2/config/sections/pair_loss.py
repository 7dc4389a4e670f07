"""The keys of a pair loss, which several sections have."""

from ..limits import NOT_NEGATIVE, POSITIVE
from ..section import Key


def pair_loss_keys(background_weight: float, background: str) -> dict[str, Key]:
    """Return the keys of a `PairLoss`. Args: background: where its background lies."""
    return {
        "SCALE": Key(5.0, "Logit per unit of cosine similarity.", POSITIVE),
        "BACKGROUND_WEIGHT": Key(
            background_weight, f"Weight of pairs within {background}.", NOT_NEGATIVE
        ),
        "CENTRED_WEIGHT": Key(
            0.5, "Weight of the same loss on keys less the image's mean.", NOT_NEGATIVE
        ),
    }
