"""A tokenizer of CLIP's kind whose words are those of given phrases."""

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, models, trainers
from transformers import CLIPTokenizer

from boxrefine_d2.errors import UserError

from .byte_tokenizer import END, START, WORD_END, byte_tokenizer, byte_vocabulary


def learn_tokenizer(phrases: Iterable[str], size: int) -> CLIPTokenizer:
    """Byte pairs merged as long as they are frequent: words of the phrases become tokens, any other text stays bytes.

    Args:
        phrases: the more often one comes, the more it counts.
        size: tokens in all. Where fewer are learnt, unused ones fill up; the marks of start and end are the last two.
    Raises: UserError for a size below the 514 of single bytes.
    """
    bytes_alone = byte_tokenizer()
    if size < len(bytes_alone):
        raise UserError(
            f"a vocabulary of {size} tokens: {len(bytes_alone)} bytes and marks come first"
        )
    learner = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    # as the tokenizer itself will read them
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
    # bytes first, at a word's end too, whether the phrases have them or not
    known = dict.fromkeys([*single, *(first + second for first, second in merges)])
    kept = list(known)[: size - 2]
    kept += [f"<|unused{number}|>" for number in range(size - 2 - len(kept))]
    # the library announces strings and reads pairs
    usable: Any = [pair for pair in merges if "".join(pair) in set(kept)]
    vocabulary = {token: number for number, token in enumerate([*kept, START, END])}
    return CLIPTokenizer(vocab=vocabulary, merges=usable)
