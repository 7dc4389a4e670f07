"""Objects without box labels: discovery, box-based refinement and detectors, on Detectron2."""

from pathlib import Path

from boxrefine_d2.interrupts import end_quietly_while_loading

__version__ = "0.1.0"

end_quietly_while_loading(Path(__file__).parent)
