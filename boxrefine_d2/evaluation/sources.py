"""Names of sources: the origin of boxes or points in a result.

Models return these names, files keep them, and pages read them. A refinement run has one more
source, the boxes of the rule on f before, under the rule's own name, such as "lost".
"""

DETECTOR = "h"  # the map detector
REFINED = "refined"  # the rule's boxes on f^h, or the heatmaps of g^h

# sources of a grounding run
BEFORE = "before"  # g as it was before refinement
G = "g"  # g in a run that does not refine it
CLIP = "clip"  # CLIP's relevance
SHUFFLED = "shuffled"  # control: g with phrases of other images
CENTRE, RANDOM = "centre", "random"  # controls that do not depend on the image
