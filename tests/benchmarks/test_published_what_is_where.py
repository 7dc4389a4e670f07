"""The baseline of "What is Where by Looking" has the package's regions and groups."""

import numpy as np
import published_what_is_where as published
import torch
import torch.nn.functional as F

from boxrefine_d2.data.scenes import render_scene
from boxrefine_d2.grounding.proposals import proposals
from boxrefine_d2.language.communities import communities


def test_the_same_regions():
    image = np.ascontiguousarray(render_scene("val", 3).image[:224, :224])
    expected = published.regions(torch.from_numpy(image).permute(2, 0, 1))
    cut = {(x, y, min(x + w, 224), min(y + h, 224)) for x, y, w, h in expected}
    ours = proposals(image, search_input="uint8", min_area=published.MIN_AREA)
    assert cut == set(map(tuple, ours.tolist())) and len(cut) > 13


def test_the_same_groups():
    generator = torch.Generator().manual_seed(0)
    middles = torch.randn(6, 8, generator=generator)
    vectors = middles.repeat_interleave(5, dim=0) + 0.5 * torch.randn(30, 8, generator=generator)
    vectors = F.normalize(vectors, dim=1)
    settings = {"min_similarity": published.ALIKE, "min_size": published.LEAST}
    ours = communities(vectors, **settings, overlap="discard")
    assert published.groups(vectors) == ours
    assert 2 <= len(ours) < 15 and len({len(group) for group in ours}) > 1
