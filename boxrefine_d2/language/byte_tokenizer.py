"""CLIP's tokenizer before it has learnt any pair: one token a byte, so that no text is unknown to it."""

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"


def byte_tokenizer() -> CLIPTokenizer:
    """514 tokens: each byte within a word and at its end, the start and the end of a text."""
    return CLIPTokenizer(vocab=byte_vocabulary(), merges=[])


def byte_vocabulary() -> dict[str, int]:
    """Token to id, in the order of CLIP's own file: bytes, bytes at a word's end, start, end."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(letter + WORD_END for letter in letters), START, END]
    return {token: number for number, token in enumerate(tokens)}
