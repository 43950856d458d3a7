"""A model as a file for other runtimes: ONNX and OpenVINO.

swinseg.export('work_dirs/mini/best.pth', 'mini.onnx', input='image')  # RGB bytes in, labels out

The package is not called ``export``, which is the name of the function at the top of ``swinseg``.
"""

from swinseg.exporting.export import export, export_model
from swinseg.exporting.exported import Exported

__all__ = ['Exported', 'export', 'export_model']
