"""The embedded data sets: rendered images with boxes, masks, categories and phrases.

`scenes:SPLIT` has several objects in an image. `kinds:SPLIT`, `fine:SPLIT` and `pair:SPLIT` have
one label for each image. Nothing is on disk. `worlds` lists the data sets, a layout decides the
content of a scene, and `painting` paints it. The annotations need only the layout; `load_scenes`
paints nothing.
"""

from .load import Scene, load_scenes, render_file, render_scene

__all__ = ["Scene", "load_scenes", "render_file", "render_scene"]
