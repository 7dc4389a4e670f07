"""The names of sources: whose boxes or points a result holds. Models return them, files keep them, and pages read them.

A run of refinement has, beside these, the boxes of the rule on f before, under the rule's own name, such as "lost".
"""

DETECTOR = "h"  # the map detector
REFINED = "refined"  # what f^h or g^h gives: the rule's boxes, or the heatmaps

# of phrases
BEFORE = "before"  # g as refinement found it
G = "g"  # g where it is not refined
CLIP = "clip"  # CLIP's relevance
SHUFFLED = "shuffled"  # a control: g with phrases of other images
CENTRE, RANDOM = "centre", "random"  # controls that look at no image
