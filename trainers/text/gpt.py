"""`gpt`: GPT-2's architecture (Radford et al. 2019): learned positions, norms before each block, tied embeddings."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from trainers.text.cache import Cache


class Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm_1 = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width)
        self.widened = nn.Linear(width, 4 * width)
        self.narrowed = nn.Linear(4 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(
        self, x: torch.Tensor, cache: Cache | None = None, layer: int = 0, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        batch, length, width = x.shape
        split = self.query_key_value(self.norm_1(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        if cache is not None:
            key, value = cache.extended(layer, key, value)
        drop = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(query, key, value, mask, dropout_p=drop, is_causal=mask is None)
        x = x + self.drop(self.attended(seen.transpose(1, 2).reshape(batch, length, width)))
        return x + self.drop(self.narrowed(F.gelu(self.widened(self.norm_2(x)), approximate="tanh")))


class GPT(nn.Module):
    """(N, T) token numbers -> (N, T, vocabulary) logits of each next token; T up to `context`."""

    def __init__(self, vocabulary: int, context: int, layers: int, heads: int, width: int, dropout: float) -> None:
        super().__init__()
        self.context = context
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Block):  # what each layer adds to the stream, so that their sum keeps its size
                nn.init.normal_(module.attended.weight, std=0.02 / math.sqrt(2 * layers))
                nn.init.normal_(module.narrowed.weight, std=0.02 / math.sqrt(2 * layers))

    def forward(self, tokens: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        """With a cache: the logits of these tokens, which come after those that it has seen."""
        length = tokens.shape[1]
        places = torch.arange(length, device=tokens.device) if cache is None else cache.places(length)
        mask = None if cache is None else cache.mask(length)
        x = self.drop(self.tokens(tokens) + self.positions(places))
        for layer, block in enumerate(self.blocks):
            x = block(x, cache, layer, mask)
        if cache is not None:
            cache.advance(length)
        return F.linear(self.norm(x), self.tokens.weight)
