"""An LSTM over the lines of a map, in which each position sees several of the line before, with its own backward pass.

Row LSTM's lines are the rows; Diagonal BiLSTM's are the diagonals of both directions together. A line takes one matrix
product for all its positions and directions and a few elementwise operations. So the number of small operations, which
take most of the time, grows with the lines and not with the pixels. Autograd would record each of them; here the backward
pass is one loop over the lines, and its elementwise factors are computed beforehand for the whole map.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Line:
    """The entries [start, stop) of the packed maps; its positions begin at `first`, in each direction."""

    start: int
    stop: int
    first: int


def run_lines(projected: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    """LineLSTM in float32, even inside an autocast to bfloat16: it writes into its maps, and sums over lines."""
    with torch.autocast(projected.device.type, enabled=False):
        return LineLSTM.apply(projected, *others)


class LineLSTM(torch.autograd.Function):
    """hidden, cells = LineLSTM.apply(projected, recurrent, initial, scale, lines, offsets), all gates' arguments scaled.

    projected (entries, batch, 4·width): the input's part, packed: line after line, and in a line direction after
    direction. recurrent (directions, taps · width, 4·width); initial (2, directions, width): h and cell of positions that
    no line has reached yet, and outside the map. A position sees h of the positions at `offsets` from its own as it was
    before its line, and its own cell. -> hidden and cells (entries, batch, width); cells carry no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        recurrent: Tensor,
        initial: Tensor,
        scale: Tensor,
        lines: tuple[Line, ...],
        offsets: tuple[int, ...],
    ) -> tuple[Tensor, Tensor]:
        entries, batch, _ = projected.shape
        directions, reads, _ = recurrent.shape
        width, taps = reads // len(offsets), len(offsets)
        length = max(line.first + (line.stop - line.start) // directions for line in lines)
        margin = max(abs(offset) for offset in offsets)
        h = initial[0, :, None, None].expand(-1, length + 2 * margin, batch, -1).clone()
        cell = initial[1, :, None, None].expand(-1, length, batch, -1).clone()

        gates = torch.empty_like(projected)
        before = projected.new_empty(entries, batch, reads)  # h that each position sees
        cells_before, cells, hidden = projected.new_empty(3, entries, batch, width).unbind(0)
        shift = 1 - scale
        for line in lines:
            here, n = slice(line.start, line.stop), (line.stop - line.start) // directions
            own = slice(line.first, line.first + n)
            seen = before[here].view(directions, n, batch, taps, width)
            for k, offset in enumerate(offsets):
                first = line.first + margin + offset
                seen[..., k, :] = h[:, first : first + n]
            cells_before[here].view(directions, n, batch, width).copy_(cell[:, own])

            arguments = projected[here].view(directions, n * batch, 4 * width)
            arguments = torch.baddbmm(arguments, seen.view(directions, n * batch, reads), recurrent)
            torch.tanh(arguments.view(-1, batch, 4 * width), out=gates[here])
            i, f, g, o = torch.addcmul(shift, scale, gates[here]).chunk(4, -1)
            torch.addcmul(f.mul_(cells_before[here]), i, g, out=cells[here])
            torch.mul(o, torch.tanh(cells[here]), out=hidden[here])
            h[:, line.first + margin : line.first + margin + n] = hidden[here].view(directions, n, batch, width)
            cell[:, own] = cells[here].view(directions, n, batch, width)

        ctx.save_for_backward(recurrent, scale, gates, before, cells_before, cells)
        ctx.lines, ctx.offsets, ctx.sizes = lines, offsets, (length, margin)
        ctx.mark_non_differentiable(cells)
        return hidden, cells

    @staticmethod
    def backward(ctx: Any, d_hidden: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        recurrent, scale, tanhs, before, cells_before, cells = ctx.saved_tensors
        (length, margin), lines, offsets = ctx.sizes, ctx.lines, ctx.offsets
        entries, batch, width = cells.shape
        directions, reads, _ = recurrent.shape

        # For the whole map: d(gate)/d(argument), times the factor of the gate in the cell (i, f, g) or in h (o).
        slopes = torch.addcmul(scale, scale * tanhs, tanhs, value=-1).unflatten(-1, (4, width))
        i, f, g, o = torch.addcmul(1 - scale, scale, tanhs).chunk(4, -1)
        tanh_cells = torch.tanh(cells)
        by_cell = slopes[..., :3, :] * torch.stack([g, cells_before, i], -2)
        by_h = slopes[..., 3, :] * tanh_cells
        h_to_cell = o * (1 - tanh_cells * tanh_cells)

        d_projected = tanhs.new_empty(entries, batch, 4, width)
        d_recurrent, transposed = torch.zeros_like(recurrent), recurrent.transpose(1, 2).contiguous()
        d_h = cells.new_zeros(directions, length + 2 * margin, batch, width)
        d_cell = cells.new_zeros(directions, length, batch, width)
        for line in reversed(lines):
            here, n = slice(line.start, line.stop), (line.stop - line.start) // directions
            own = slice(line.first, line.first + n)
            own_h = slice(line.first + margin, line.first + margin + n)
            dh = d_hidden[here] + d_h[:, own_h].reshape(-1, batch, width)
            dc = torch.addcmul(d_cell[:, own].reshape(-1, batch, width), dh, h_to_cell[here])
            torch.mul(dc[..., None, :], by_cell[here], out=d_projected[here, :, :3])
            torch.mul(dh, by_h[here], out=d_projected[here, :, 3])
            d_cell[:, own] = (dc * f[here]).view(directions, n, batch, width)

            d_arguments = d_projected[here].view(directions, n * batch, 4 * width)
            d_recurrent.baddbmm_(before[here].view(directions, n * batch, reads).transpose(1, 2), d_arguments)
            d_seen = torch.bmm(d_arguments, transposed).view(directions, n, batch, len(offsets), width)
            d_h[:, own_h] = 0  # this line saw the old values here, and then replaced them
            for k, offset in enumerate(offsets):
                first = line.first + margin + offset
                d_h[:, first : first + n] += d_seen[..., k, :]

        d_initial = torch.stack([d_h.sum((1, 2)), d_cell.sum((1, 2))])
        return d_projected.flatten(2), d_recurrent, d_initial, None, None, None
