"""Base of the models around g: g, CLIP, the rule, and the answers to queries."""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.sources import CLIP as CLIP_SOURCE
from boxrefine_d2.evaluation.sources import SHUFFLED
from boxrefine_d2.evaluation.sources import G as G_SOURCE
from boxrefine_d2.language.build import build_clip
from boxrefine_d2.language.clip import Clip, check_phrase
from boxrefine_d2.language.localisation_losses import LocalisationLosses
from boxrefine_d2.language.phrase_targets import PhraseTargets
from boxrefine_d2.language.relevance import relevance_maps
from boxrefine_d2.networks.recurring import Row, input_names
from boxrefine_d2.networks.text_heatmap import TextHeatmap, build_heatmap
from boxrefine_d2.structures import DescribedObject, PhraseLocalisation

from .queries import Drawer, averaged_heatmaps, found_in_heatmaps


class HeatmapModel(nn.Module):
    """Base of `HeatmapTraining`, `GroundingRefiner` and `WhatIsWhere`."""

    def __init__(
        self,
        *,
        map_network: TextHeatmap,
        clip: Clip,
        losses: LocalisationLosses,
        discovery: DiscoveryRule,
        start_layer: int,
        square_size: int,
        autocast: bool = False,
    ):
        """Take the parts.

        Args:
            start_layer: first layer that CLIP's relevance uses.
            square_size: S, pixels.
            autocast: True if g and the losses learn in bfloat16.
        """
        super().__init__()
        if map_network.text_dim != clip.dim:
            raise UserError(
                f"MODEL.HEATMAP reads texts of {map_network.text_dim} dimensions, and those of "
                f"MODEL.CLIP have {clip.dim}"
            )
        if square_size % map_network.stride:
            raise UserError(
                f"INPUT.SQUARE_SIZE {square_size} is no multiple of the cells of MODEL.HEATMAP, "
                f"{map_network.stride} pixels"
            )
        self.map_network = map_network
        self.clip = clip
        self.losses = losses
        self.discovery = discovery
        self.start_layer = start_layer
        self.autocast = autocast
        self._targets = PhraseTargets(clip, start_layer)
        # CLIP never changes and may be large, so checkpoints do not hold it
        self.register_state_dict_post_hook(_without_clip)
        self.register_load_state_dict_pre_hook(_with_own_clip)

    @staticmethod
    def parts(cfg: CfgNode, map_network: TextHeatmap) -> dict[str, Any]:
        """Return the arguments of a model, as the configuration sets them."""
        node = cfg.GROUNDING
        return {
            "map_network": map_network,
            "clip": build_clip(cfg.MODEL.CLIP.NAME, cfg.MODEL.CLIP.WEIGHTS),
            "losses": LocalisationLosses(
                relevance_weight=node.RELEVANCE_WEIGHT,
                area_weight=node.AREA_WEIGHT,
                foreground_weight=node.FOREGROUND_WEIGHT,
                background_weight=node.BACKGROUND_WEIGHT,
                similarity=node.SIMILARITY,
            ),
            "discovery": build_rule("contours", cfg),
            "start_layer": node.START_LAYER,
            "square_size": cfg.INPUT.SQUARE_SIZE,
            "autocast": cfg.SOLVER.AMP.ENABLED,
        }

    @classmethod
    def of_config(cls, cfg: CfgNode) -> "HeatmapModel":
        """Return a model that answers with MODEL.HEATMAP."""
        return HeatmapModel(
            **cls.parts(cfg, build_heatmap(cfg.MODEL.HEATMAP.NAME, cfg.MODEL.HEATMAP.WEIGHTS))
        )

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.map_network.parameters()).device

    def normalised_images(self, batched_inputs: Sequence[dict[str, Any]]) -> Tensor:
        """Return the images as g and CLIP read them, (B, 3, S, S) in [-1, 1]."""
        images = torch.stack([x["image"] for x in batched_inputs]).to(self.device)
        return images.float() / 127.5 - 1

    def text_losses(
        self, batched_inputs: Sequence[dict[str, Any]], images: Tensor, heatmaps: Tensor
    ) -> dict[str, Tensor]:
        """Return the localisation losses of a training batch; {} if all weights are 0."""
        if not self.losses.enabled:
            return {}
        phrases = [x["phrase"] for x in batched_inputs]
        relevance = self._targets.relevance(images, phrases, input_names(batched_inputs))
        text = self._targets.text(phrases)
        with self._mixed():
            losses: dict[str, Tensor] = self.losses(self.clip, images, text, heatmaps, relevance)
            return losses

    def learnt_heatmaps(self, images: Tensor, text: Tensor) -> Tensor:
        """Return the heatmaps of g while it learns, (B, 1, S, S) float32."""
        with self._mixed():
            heatmaps: Tensor = self.map_network(images, text).float()
            return heatmaps

    @torch.no_grad()
    def heatmaps_of(self, batched_inputs: Sequence[dict[str, Any]]) -> list[Row]:
        """Return (the heatmap (1, S, S),) of each input with its phrase, while g is fixed."""
        text = self._targets.text([x["phrase"] for x in batched_inputs])
        heatmaps = self.learnt_heatmaps(self.normalised_images(batched_inputs), text)
        return [(heatmap,) for heatmap in heatmaps]

    def _mixed(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)

    @property
    def networks(self) -> dict[str, TextHeatmap]:
        """Each g that answers, by the name of its source; the last one also answers for decoys."""
        return {G_SOURCE: self.map_network}

    def _drawers(self, images: Tensor) -> dict[str, Drawer]:
        """Return the function that draws heatmaps, for each source of heatmaps."""
        network_drawers = {name: self._drawer(g, images) for name, g in self.networks.items()}
        clip_drawer = {CLIP_SOURCE: partial(self._relevance, images)}
        return clip_drawer | network_drawers

    def _drawer(self, network: TextHeatmap, images: Tensor) -> Drawer:
        """Return the function that draws the heatmaps of one g; it reads each image once."""
        features = network.read(images)
        size = (images.shape[2], images.shape[3])
        return lambda number, phrases: network.draw_phrases(
            features[number : number + 1], self._targets.text(phrases), size
        )

    def _relevance(self, images: Tensor, number: int, phrases: list[str]) -> Tensor:
        text, image = self._targets.text(phrases), images[number : number + 1]
        maps = relevance_maps(
            self.clip, image, text, [0] * len(phrases), start_layer=self.start_layer
        )
        return maps[:, None]

    @torch.no_grad()
    def answer(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the answers of every source to the queries of each image.

        Args: batched_inputs: dicts with "image" (3, S, S) uint8 RGB, "height" and "width" of the
            original, "queries", [(annotation id, phrasings), ...], and optionally "decoys", a
            phrase of another image for each query.
        Returns: per image {"grounding": {source: {annotation id: PhraseLocalisation}}}. The source
            "shuffled" is the last source's answer to the decoys.
        """
        images = self.normalised_images(batched_inputs)
        queries = [[texts for _, texts in x["queries"]] for x in batched_inputs]
        drawers = self._drawers(images)
        maps = {name: averaged_heatmaps(queries, draw) for name, draw in drawers.items()}
        sizes = [(x["height"], x["width"]) for x in batched_inputs]
        further = self.from_heatmaps(maps, sizes)
        if "decoys" in batched_inputs[0]:
            decoys = [[[text] for text in x["decoys"]] for x in batched_inputs]
            last = list(drawers)[-1]
            maps[SHUFFLED] = averaged_heatmaps(decoys, drawers[last])
        localisations = {
            source: [
                self.localisations(heatmaps, x)
                for heatmaps, x in zip(each, batched_inputs, strict=True)
            ]
            for source, each in maps.items()
        } | further
        return [
            {"grounding": {source: _by_id(x, each[i]) for source, each in localisations.items()}}
            for i, x in enumerate(batched_inputs)
        ]

    @torch.no_grad()
    def localise(
        self,
        batched_inputs: Sequence[dict[str, Any]],
        phrases: Sequence[Sequence[str]],
        prompt: str,
    ) -> list[list[DescribedObject]]:
        """Return g's localisation of each phrase.

        Args:
            batched_inputs: dicts with "image" (3, S, S) uint8 RGB, "height" and "width" of the
                original.
            phrases: phrases of each image.
            prompt: text that precedes each phrase when g reads it.
        Raises: UserError for an empty phrase.
        """
        for phrase in chain.from_iterable(phrases):
            check_phrase(phrase)  # with the prompt, an empty phrase could not be recognised
        texts = [[[prompt + phrase] for phrase in each] for each in phrases]
        draw = self._drawer(self.map_network, self.normalised_images(batched_inputs))
        maps = averaged_heatmaps(texts, draw)
        return [
            [
                DescribedObject(*each)
                for each in zip(
                    texts_of_image, heatmaps, self.localisations(heatmaps, x), strict=True
                )
            ]
            for texts_of_image, heatmaps, x in zip(phrases, maps, batched_inputs, strict=True)
        ]

    def localisations(self, heatmaps: Tensor, x: dict[str, Any]) -> list[PhraseLocalisation]:
        """Return points and boxes of the heatmaps (Q, S, S) of one image."""
        return found_in_heatmaps(heatmaps, self.discovery, (x["height"], x["width"]))

    def from_heatmaps(
        self, maps: dict[str, list[Tensor]], sizes: list[tuple[int, int]]
    ) -> dict[str, list[list[PhraseLocalisation]]]:
        """Return further answers from the heatmaps: source -> per image, per query."""
        return {}


def _without_clip(model: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for key in [key for key in state if key.startswith(f"{prefix}clip.")]:
        del state[key]


def _with_own_clip(model: HeatmapModel, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, value in model.clip.state_dict().items():
        state.setdefault(f"{prefix}clip.{name}", value)


def _by_id(
    x: dict[str, Any], localisations: Sequence[PhraseLocalisation]
) -> dict[Any, PhraseLocalisation]:
    return {key: one for (key, _), one in zip(x["queries"], localisations, strict=True)}
