"""`transformer`: Llama's architecture (Touvron et al. 2023): rotary positions (Su et al. 2021), RMS norms (Zhang &
Sennrich 2019), SwiGLU (Shazeer 2020), no biases, tied embeddings."""

import math

import torch
import torch.nn.functional as F
from torch import nn

BASE = 10_000.0  # of the rotary frequencies


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

    def forward(self, x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        split = self.query_key_value(self.norm_1(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        drop = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(
            turned(query, turns), turned(key, turns), value, dropout_p=drop, is_causal=True
        )
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
        for block in self.blocks:
            nn.init.normal_(block.attended.weight, std=0.02 / math.sqrt(2 * layers))
            nn.init.normal_(block.narrowed.weight, std=0.02 / math.sqrt(2 * layers))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        turns = angles(tokens.shape[1], self.head_width, tokens.device)
        x = self.drop(self.tokens(tokens))
        for block in self.blocks:
            x = block(x, turns)
        return F.linear(self.norm(x), self.tokens.weight)


def angles(length: int, width: int, device: torch.device) -> torch.Tensor:
    """(length, width / 2): by how much each pair of a head's numbers is turned at each place."""
    frequencies = BASE ** (-torch.arange(0, width, 2, device=device).float() / width)
    return torch.outer(torch.arange(length, device=device).float(), frequencies)


def turned(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """(…, T, width) with its halves taken as pairs, each turned by its angle."""
    first, second = x.float().chunk(2, dim=-1)
    cosine, sine = turns.cos(), turns.sin()
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1).to(x.dtype)
