"""Training of a tokenizer like CLIP's on the words of given phrases."""

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, models, trainers
from transformers import CLIPTokenizer

from boxrefine_d2.errors import UserError

from .byte_tokenizer import END, START, WORD_END, byte_tokenizer, byte_vocabulary


def learn_tokenizer(phrases: Iterable[str], size: int) -> CLIPTokenizer:
    """Return a tokenizer that merges frequent byte pairs.

    Words of the phrases become tokens. Any other text stays bytes.

    Args:
        phrases: a phrase counts as often as it comes.
        size: total number of tokens. Unused tokens fill it up if fewer are learnt. The marks of
            start and end are the last two.
    Raises: UserError for a size below 514, the number of tokens for single bytes.
    """
    bytes_alone = byte_tokenizer()
    if size < len(bytes_alone):
        raise UserError(
            f"a vocabulary of {size} tokens: {len(bytes_alone)} bytes and marks come first"
        )
    learner = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    # The learner splits texts as the finished tokenizer does.
    learner.normalizer = bytes_alone.backend_tokenizer.normalizer
    learner.pre_tokenizer = bytes_alone.backend_tokenizer.pre_tokenizer
    single = [token for token in byte_vocabulary() if token not in (START, END)]
    trainer = trainers.BpeTrainer(
        vocab_size=size - 2,
        end_of_word_suffix=WORD_END,
        initial_alphabet=[token for token in single if not token.endswith(WORD_END)],
        show_progress=False,
    )
    learner.train_from_iterator(sorted(phrases), trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    # Single bytes come first, also those at a word's end, even if no phrase has them.
    known = dict.fromkeys([*single, *(first + second for first, second in merges)])
    kept = list(known)[: size - 2]
    kept += [f"<|unused{number}|>" for number in range(size - 2 - len(kept))]
    # By its type the library takes strings; it reads pairs.
    usable: Any = [pair for pair in merges if "".join(pair) in set(kept)]
    vocabulary = {token: number for number, token in enumerate([*kept, START, END])}
    return CLIPTokenizer(vocab=vocabulary, merges=usable)
