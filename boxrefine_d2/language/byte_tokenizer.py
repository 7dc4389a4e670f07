"""CLIP's tokenizer without any learnt pair: each byte is one token, and it can read any text."""

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"


def byte_tokenizer() -> CLIPTokenizer:
    """Return a tokenizer of 514 tokens.

    They are each byte within a word, each byte at a word's end, and the marks of start and end.
    """
    return CLIPTokenizer(vocab=byte_vocabulary(), merges=[])


def byte_vocabulary() -> dict[str, int]:
    """Return token -> id, in the order of CLIP's file: bytes, bytes at a word's end, start, end."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(letter + WORD_END for letter in letters), START, END]
    return {token: number for number, token in enumerate(tokens)}
