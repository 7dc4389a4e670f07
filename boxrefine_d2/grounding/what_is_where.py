"""WhatIsWhere: description and localisation of the objects of an image, without any text.

Shapes: B images, S x S pixels of the input.

Source: "What is Where by Looking", NeurIPS 2022.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY

from boxrefine_d2.errors import UserError
from boxrefine_d2.language.captioners import Captioner, build_captioner
from boxrefine_d2.networks.text_heatmap import build_heatmap
from boxrefine_d2.structures import DescribedObject, PhraseLocalisation

from .heatmap_model import HeatmapModel
from .queries import averaged_heatmaps
from .topics import TopicFinder, nearest


@META_ARCH_REGISTRY.register()
class WhatIsWhere(HeatmapModel):
    """Captions of regions, and g's heatmap of each caption; no part learns."""

    @configurable
    def __init__(
        self, *, captioner: Captioner, looking: dict[str, Any], prompt: str = "", **parts: Any
    ):
        """Take the parts.

        Args, besides those of `HeatmapModel`:
            looking: keyword arguments of `TopicFinder`.
            prompt: text that precedes each caption when g and CLIP's relevance read it.
        """
        super().__init__(**parts)
        self._prompt = prompt
        self._topic_finder = TopicFinder(captioner, self.clip.encode_text, **looking)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts: g, CLIP, the captioner and the settings under LOOKING."""
        network = build_heatmap(cfg.MODEL.HEATMAP.NAME, cfg.MODEL.HEATMAP.WEIGHTS)
        parts = cls.parts(cfg, network)
        clip = parts["clip"].to(cfg.MODEL.DEVICE)
        captioner = cfg.MODEL.CAPTIONER
        node = cfg.LOOKING
        return parts | {
            "captioner": build_captioner(
                captioner.NAME, clip, captioner.WEIGHTS, cfg.GROUNDING.PROMPT, captioner.PRECISION
            ),
            "prompt": node.PROMPT,
            "looking": {
                "search_input": node.SEARCH_INPUT,
                "min_area": node.MIN_AREA,
                "min_similarity": node.MIN_SIMILARITY,
                "min_size": node.MIN_SIZE,
                "overlap": node.OVERLAP,
            },
        }

    @torch.no_grad()
    def describe(self, batched_inputs: Sequence[dict[str, Any]]) -> list[list[DescribedObject]]:
        """Return g's objects in each image; objects of most regions come first.

        Args: batched_inputs: dicts with "image" (3, S, S) uint8 RGB, "height" and "width" of the
            original.
        """
        topics = self._topic_finder.find([x["image"] for x in batched_inputs])
        described = self.localise(
            batched_inputs, [[topic.caption for topic in each] for each in topics], self._prompt
        )
        return [
            [replace(one, regions=topic.regions) for topic, one in zip(*both, strict=True)]
            for both in zip(topics, described, strict=True)
        ]

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return answers, in eval only (Detectron2's contract).

        Each phrase of an image is answered by the heatmap of the caption that CLIP finds most
        similar. There is no answer for an image if no regions have similar captions.

        Args: batched_inputs: results of `QueryMapper`.
        Returns: answers in the form of `HeatmapModel.answer`, of the sources "clip" and "g".
        """
        if self.training:
            raise UserError("WhatIsWhere does not learn; evaluate it with --eval-only")
        return self.answer(batched_inputs)

    @torch.no_grad()
    def answer(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the answers; see `forward`."""
        topics = self._topic_finder.find([x["image"] for x in batched_inputs])
        captions = [[topic.caption for topic in each] for each in topics]
        chosen = [
            self._chosen(each, x) if each else {}
            for each, x in zip(captions, batched_inputs, strict=True)
        ]
        # only captions that answer a phrase get a heatmap
        asked = [sorted(set(each.values())) for each in chosen]
        queries = [
            [[self._prompt + each[i]] for i in numbers]
            for each, numbers in zip(captions, asked, strict=True)
        ]
        answers: list[dict[str, dict[Any, PhraseLocalisation]]] = [{} for _ in batched_inputs]
        for source, draw in self._drawers(self.normalised_images(batched_inputs)).items():
            maps = averaged_heatmaps(queries, draw)
            for answer, heatmaps, x, numbers, caption_of in zip(
                answers, maps, batched_inputs, asked, chosen, strict=True
            ):
                localisations = dict(zip(numbers, self.localisations(heatmaps, x), strict=True))
                answer[source] = {key: localisations[number] for key, number in caption_of.items()}
        return [{"grounding": answer} for answer in answers]

    def _chosen(self, captions: list[str], x: dict[str, Any]) -> dict[Any, int]:
        """Return annotation id -> index of the caption that answers it."""
        vectors = self._targets.text(captions)
        return {
            key: nearest(vectors, self._targets.text(phrasings)) for key, phrasings in x["queries"]
        }
