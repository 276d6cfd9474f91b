"""Square patches of photographs, drawn anew at each update."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


@dataclass(frozen=True, eq=False)
class Patches:
    """Random patches of photographs, in the place of a tensor of training images: a patch is drawn for each index.

    They are turned and mirrored, their channels exchanged; some are softened, made grey, or given grain or another contrast.
    So a few photographs go further, and pictures with grain, blur or no colour are known to the model.
    """

    values: Tensor  # uint8: the photographs one after the other, each (height, width, channels)
    places: Tensor  # int64 (photographs, 3): where each begins, its height and its width
    side: int
    channels: int

    def __len__(self) -> int:
        """As many patches as the photographs have room for at their own size."""
        return max(1, len(self.values) // (self.channels * self.side**2))

    @property
    def device(self) -> torch.device:
        return self.values.device

    def to(self, device: torch.device) -> "Patches":
        return Patches(self.values.to(device), self.places.to(device), self.side, self.channels)

    def __getitem__(self, index: Tensor) -> Tensor:
        """Draw a patch for each index, int64 (batch,), from torch's global generator: uint8 (batch, channels, side, side)."""
        return self._vary(self.draw(len(index)))

    def draw(self, count: int, generator: Generator | None = None) -> Tensor:
        """Unchanged patches, uint8 (count, channels, side, side). Four of five are the roughest of three, because an empty
        sky teaches little. A photograph is drawn in proportion to the square root of its size."""
        begin, height, width = self.places[self._which(count, generator)].repeat(3, 1).T[..., None, None]
        top, left = (
            (self._uniform(3 * count, generator) * (length - self.side + 1)).long() for length in (height, width)
        )
        line = torch.arange(self.side, device=self.device)
        at = begin + ((top + line[:, None]) * width + left + line) * self.channels
        found = self.values[at[:, None] + torch.arange(self.channels, device=self.device)[:, None, None]]
        change = sum(found.float().diff(dim=d).abs().mean((1, 2, 3)) for d in (2, 3))
        best = change.view(3, count).argmax(0)  # type: ignore[union-attr]
        best = best * (self._uniform(count, generator).flatten() < 0.8)
        return found[best * count + torch.arange(count, device=self.device)]

    def _which(self, count: int, generator: Generator | None) -> Tensor:
        sizes = (self.places[:, 1] * self.places[:, 2]).double().sqrt()
        return torch.multinomial(sizes, count, replacement=True, generator=generator)

    def _uniform(self, count: int, generator: Generator | None = None) -> Tensor:
        return torch.rand(count, 1, 1, 1, device=self.device, generator=generator)[:, 0]

    def _vary(self, patches: Tensor) -> Tensor:
        count, values = len(patches), patches.float()

        def uniform(low: float = 0.0, high: float = 1.0) -> Tensor:
            return low + (high - low) * torch.rand(count, 1, 1, 1, device=self.device)

        for change in (lambda v: v.flip(2), lambda v: v.flip(3), lambda v: v.transpose(2, 3)):
            values = torch.where(uniform() < 0.5, change(values), values)
        exchanged = torch.rand(count, self.channels, device=self.device).argsort(1)
        values = values.gather(1, exchanged[..., None, None].expand_as(values))
        values = torch.where(uniform() < 0.3, values.lerp(_softened(values), uniform()), values)
        is_grey = uniform() < 0.08
        values = torch.where(is_grey, values.mean(1, keepdim=True), values)
        contrasted = (values - 128) * uniform(0.5, 1.4) + 128 + uniform(-25, 25)
        # A stretched contrast leaves levels out; these fractions fill the gaps.
        contrasted = contrasted + torch.rand_like(values[:, :1]) - 0.5
        values = torch.where(uniform() < 0.4, contrasted, values)
        grain = torch.randn_like(values)
        grain = torch.where(uniform() < 0.5, _softened(grain) * 3, grain)
        grain = torch.where(is_grey, grain[:, :1], grain)
        values = torch.where(uniform() < 0.5, values + grain * uniform(0.5, 3.5), values)
        return values.round().clamp(0, 255).to(torch.uint8)


def _softened(values: Tensor) -> Tensor:
    """Each value the mean of the 3×3 around it."""
    return F.avg_pool2d(F.pad(values, (1, 1, 1, 1), mode="replicate"), 3, 1)
