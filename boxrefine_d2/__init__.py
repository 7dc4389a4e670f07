"""Objects without box labels: discovery, box-based refinement and detectors, on Detectron2."""

__version__ = "0.1.0"
