"""Image in, labeled mask out: the face that most users see.

predictor = swinseg.Predictor.from_checkpoint('work_dirs/upernet_swin_t_mini/best.pth')
result = predictor('street.jpg')
result.labels                       # (H, W) uint8 class indices
result.save('masks')                # label PNG, color PNG, overlay with a legend
"""

from swinseg.errors import PredictorError
from swinseg.predictor.multi_label import MultiLabelSegmentation
from swinseg.predictor.options import PredictOptions
from swinseg.predictor.pixels import ImageLike
from swinseg.predictor.predictor import Predictor
from swinseg.predictor.segmentation import Segmentation

__all__ = [
    'ImageLike',
    'MultiLabelSegmentation',
    'PredictOptions',
    'Predictor',
    'PredictorError',
    'Segmentation',
]
