"""The embedded data set `scenes:SPLIT`: rendered images with boxes, masks, categories and phrases.

Nothing is on disk. A scene is a pure function of its split and index. `layout` decides its content,
and `painting` paints it. The annotations need only the layout; `load_scenes` paints nothing.
"""

from .load import Scene, is_scene_file, load_scenes, render_file, render_scene

__all__ = ["Scene", "is_scene_file", "load_scenes", "render_file", "render_scene"]
