"""Steering for Hugging Face's transformers: a logits processor with the interface of its own for classifier-free
guidance, `UnbatchedClassifierFreeGuidanceLogitsProcessor`."""

import inspect
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from sda.kernel import Step, steer
from sda.params import Params


class SteeringLogitsProcessor(LogitsProcessor):
    """Steers each step of `model.generate()` away from a plain branch, which is computed here.

    All rows of a batch go through the model in one forward pass, also where their plain prompts differ in length, and
    beams may change places. The scores that come out are log-probabilities with the temperature applied that follows
    from the divergence; so generate with `do_sample=True, temperature=1.0` (and `top_k=0, top_p=0.95`, for example), or
    with `do_sample=False`, which takes the most likely token. It goes before other processors that change scores.

    A processor is for the prompts of one call of `generate()`. Where tokens are taken back, as with assistant models,
    the plain branch is read again. The steering runs on the CPU: rows on another device are copied there and back.
    """

    def __init__(
        self,
        guidance_scale: float,
        model: Any,
        unconditional_ids: torch.Tensor | None = None,
        unconditional_attention_mask: torch.Tensor | None = None,
        use_cache: bool = True,
        *,
        params: Params | None = None,
    ) -> None:
        """
        Args:
            guidance_scale: `1 + k a`; 1 is the instructed distribution as it is, tempered.
            model: computes the plain branch; the one that generates, or one with the same vocabulary.
            unconditional_ids: token ids of the prompts without the instruction, `(batch, length)`, padded on the left;
                or one prompt for all rows, `(1, length)`. None: the last token of each instructed prompt, as
                transformers does it.
            unconditional_attention_mask: 1 for tokens, 0 for padding, of the same shape. None: no padding.
            use_cache: keep keys and values between steps.
            params: the other settings; its amplification is replaced by the guidance scale. None: the paper's.

        Raises:
            ValueError: for shapes that do not fit.
        """
        self.params = (params or Params()).with_guidance(guidance_scale)
        self.model = model
        self.use_cache = use_cache
        self.steps: list[Step] = []
        """Divergence and temperature of each row at the last step."""
        ids, mask = unconditional_ids, unconditional_attention_mask
        if ids is not None and ids.ndim != 2:
            raise ValueError(f"unconditional_ids has the shape {tuple(ids.shape)}, must be (batch, length)")
        if mask is not None and (ids is None or mask.shape != ids.shape):
            shape = None if ids is None else tuple(ids.shape)
            raise ValueError(f"unconditional_attention_mask has the shape {tuple(mask.shape)}, must be as ids: {shape}")
        if mask is not None and not bool(mask[:, -1].all()):
            raise ValueError("unconditional_attention_mask ends with padding, must have it on the left")
        self._prompt = (ids, mask)
        self._takes = inspect.signature(model.forward).parameters
        # transformers has renamed it.
        self._cache_name = "cache" if "cache" in self._takes else "past_key_values"
        # The tokens of the instructed branch at the first step and at the last one.
        self._first: torch.Tensor | None = None
        self._seen: torch.Tensor | None = None
        # What the plain branch has read.
        self._ids: torch.Tensor
        self._mask: torch.Tensor
        self._cache: Any = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Steered log-probabilities; `scores` are the instructed logits, `(batch, vocabulary)`."""
        plain = self._plain_logits(input_ids)
        if plain.shape != scores.shape:
            raise ValueError(
                f"the plain logits have the shape {tuple(plain.shape)}, must be as the instructed ones: "
                f"{tuple(scores.shape)}"
            )
        x, y = (_numpy(rows) for rows in (scores, plain))
        out = np.empty_like(x)
        self.steps = [steer(a, b, self.params, out=row)[1] for a, b, row in zip(x, y, out, strict=True)]
        return torch.from_numpy(out).to(device=scores.device, dtype=scores.dtype)

    def _plain_logits(self, input_ids: torch.Tensor) -> torch.Tensor:
        rows = self._rows_that_continue(input_ids)
        if rows is None:
            self._begin(input_ids)
            new = self._ids
        else:
            new = input_ids[:, -1:].to(self._ids.device)
            if not torch.equal(rows, torch.arange(len(rows))):
                self._reorder(rows)
            self._ids = torch.cat([self._ids, new], dim=1)
            self._mask = torch.cat([self._mask, torch.ones_like(new)], dim=1)
        self._seen = input_ids.clone()
        return self._forward(new if self.use_cache else self._ids)

    def _rows_that_continue(self, input_ids: torch.Tensor) -> torch.Tensor | None:
        """For each row that of the step before which it continues, or None for new prompts."""
        seen = self._seen
        if seen is None or input_ids.shape != (seen.shape[0], seen.shape[1] + 1):
            return None
        before = input_ids[:, :-1]
        if torch.equal(before, seen):
            return torch.arange(len(seen))
        # Beams have changed places.
        same = (before[:, None] == seen[None]).all(dim=-1).cpu()
        return same.int().argmax(dim=1) if bool(same.any(dim=1).all()) else None

    def _begin(self, input_ids: torch.Tensor) -> None:
        first = self._first
        if first is None or not torch.equal(input_ids[:, : first.shape[1]], first):
            first = self._first = input_ids.clone()
        ids, mask = self._prompt
        ids = first[:, -1:] if ids is None else ids.to(first.device)
        mask = torch.ones_like(ids) if mask is None else mask.to(ids)
        times, rest = divmod(input_ids.shape[0], ids.shape[0])
        if rest or times == 0:
            raise ValueError(f"unconditional_ids has {len(ids)} rows, must divide the batch of {len(input_ids)}")
        # The beams, or several answers, of a prompt stand next to one another.
        generated = input_ids[:, first.shape[1] :]
        self._ids = torch.cat([ids.repeat_interleave(times, 0), generated], dim=1)
        self._mask = torch.cat([mask.repeat_interleave(times, 0), torch.ones_like(generated)], dim=1)
        self._cache = None

    def _reorder(self, rows: torch.Tensor) -> None:
        rows = rows.to(self._ids.device)
        self._ids, self._mask = self._ids[rows], self._mask[rows]
        if self._cache is not None:
            self._cache.reorder_cache(rows)

    @torch.no_grad()
    def _forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits of the last position."""
        arguments: dict[str, Any] = {"attention_mask": self._mask, "use_cache": self.use_cache}
        if "position_ids" in self._takes:
            # A token's position does not count the padding before it.
            positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)
            arguments["position_ids"] = positions[:, -ids.shape[1] :]
        if "logits_to_keep" in self._takes:
            arguments["logits_to_keep"] = 1
        if self.use_cache:
            arguments[self._cache_name] = self._cache
        output = self.model(ids, **arguments)
        self._cache = output.get(self._cache_name)
        logits: torch.Tensor = output.logits[:, -1]
        return logits


def _numpy(rows: torch.Tensor) -> Any:
    """The same memory where that is float32 on the CPU."""
    return rows.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy()
