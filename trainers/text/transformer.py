"""`transformer`: Llama's architecture (Touvron et al. 2023): rotary positions (Su et al. 2021), RMS norms (Zhang &
Sennrich 2019), SwiGLU (Shazeer 2020), no biases, tied embeddings."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from trainers.text.cache import Cache

BASE = 10_000.0  # of the rotary frequencies

Turns = tuple[torch.Tensor, torch.Tensor]  # cosines and sines


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()  # the squares of half-precision numbers overflow
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)).to(x.dtype) * self.weight


class Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        hidden = -(-width * 8 // 3 // 8) * 8  # as many weights as a plain block of four times the width has
        self.norm_1 = RMSNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.attended = nn.Linear(width, width, bias=False)
        self.norm_2 = RMSNorm(width)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.widened = nn.Linear(width, hidden, bias=False)
        self.narrowed = nn.Linear(hidden, width, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(
        self,
        x: torch.Tensor,
        turns: Turns,
        cache: Cache | None = None,
        layer: int = 0,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        batch, length, width = x.shape
        split = self.query_key_value(self.norm_1(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        query, key = turned(query, turns), turned(key, turns)
        if cache is not None:
            key, value = cache.extended(layer, key, value)
        drop = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(query, key, value, mask, dropout_p=drop, is_causal=mask is None)
        x = x + self.drop(self.attended(seen.transpose(1, 2).reshape(batch, length, width)))
        y = self.norm_2(x)
        return x + self.drop(self.narrowed(F.silu(self.gate(y)) * self.widened(y)))


class Transformer(nn.Module):
    """(N, T) token numbers -> (N, T, vocabulary) logits of each next token; T up to `context`."""

    def __init__(self, vocabulary: int, context: int, layers: int, heads: int, width: int, dropout: float) -> None:
        super().__init__()
        self.context, self.head_width = context, width // heads
        self.tokens = nn.Embedding(vocabulary, width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = RMSNorm(width)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        for module in self.modules():
            if isinstance(module, Block):  # what each layer adds to the stream, so that their sum keeps its size
                nn.init.normal_(module.attended.weight, std=0.02 / math.sqrt(2 * layers))
                nn.init.normal_(module.narrowed.weight, std=0.02 / math.sqrt(2 * layers))

    def forward(self, tokens: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        """With a cache: the logits of these tokens, which come after those that it has seen."""
        length = tokens.shape[1]
        places = torch.arange(length, device=tokens.device)[None] if cache is None else cache.places(length)
        mask = None if cache is None else cache.mask(length)
        turns = turns_at(places, self.head_width)
        x = self.drop(self.tokens(tokens))
        for layer, block in enumerate(self.blocks):
            x = block(x, turns, cache, layer, mask)
        if cache is not None:
            cache.advance(length)
        return F.linear(self.norm(x), self.tokens.weight)


def turns_at(places: torch.Tensor, width: int) -> Turns:
    """(N, T) places -> (N, 1, T, width / 2) each: by how much every pair of a head's numbers is turned there."""
    frequencies = BASE ** (-torch.arange(0, width, 2, device=places.device).float() / width)
    angles = places[:, None, :, None].float() * frequencies
    return angles.cos(), angles.sin()


def turned(x: torch.Tensor, turns: Turns) -> torch.Tensor:
    """(N, heads, T, width) with its halves taken as pairs, each turned by its angle."""
    cosine, sine = turns
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1).to(x.dtype)
