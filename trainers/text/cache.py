"""What attention has seen of a text, kept so that each new token is computed alone."""

import torch


class Cache:
    """Keys and values of every layer. Rows shorter than the longest are padded on their left, which is never seen.

    `pads` (N,) counts the padding of each row; `room` is the most tokens that a row can come to.
    """

    def __init__(self, layers: int, room: int, pads: torch.Tensor) -> None:
        self.room, self.pads = room, pads
        self.length = 0  # tokens that every layer has seen
        self._kept: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * layers

    def places(self, count: int) -> torch.Tensor:
        """(N, count): the place in its text of each of the next `count` tokens."""
        columns = torch.arange(self.length, self.length + count, device=self.pads.device)
        return (columns - self.pads[:, None]).clamp(min=0)

    def mask(self, count: int) -> torch.Tensor:
        """(N, 1, count, length + count): which tokens each of the next `count` sees."""
        keys = torch.arange(self.length + count, device=self.pads.device)
        queries = keys[self.length :, None]
        # Padding sees itself: a row that sees nothing would be no numbers.
        return ((keys <= queries) & ((keys >= self.pads[:, None, None]) | (keys == queries)))[:, None]

    def extended(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values of a layer, (N, heads, length + count, head width), with these new ones behind."""
        kept = self._kept[layer]
        if kept is None:
            shape = (*key.shape[:2], self.room, key.shape[3])
            kept = self._kept[layer] = key.new_empty(shape), value.new_empty(shape)
        end = self.length + key.shape[2]
        kept[0][:, :, self.length : end] = key
        kept[1][:, :, self.length : end] = value
        return kept[0][:, :, :end], kept[1][:, :, :end]

    def advance(self, count: int) -> None:
        """Every layer has seen `count` more tokens."""
        self.length += count
