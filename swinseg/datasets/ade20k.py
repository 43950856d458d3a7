"""ADE20K scene parsing (Zhou et al., 2017) in the layout of the SceneParsing challenge."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar

from mmseg.datasets import ADE20KDataset
from mmseg.registry import DATASETS

from swinseg.datasets.checked import CheckedDataset


@DATASETS.register_module()
class ADE20K(CheckedDataset):
    """ADE20K: 150 classes, raw label values 1 to 150, 0 for unlabeled pixels (ignored).

    The layout under ``data_root`` is that of ADEChallengeData2016.zip: ``images/training/*.jpg``,
    ``annotations/training/*.png`` and the same with ``validation``. Class names and colors are mmseg's.
    ``metainfo=dict(classes=...)`` selects classes; the pixels of the others are ignored.

    Args:
        img_suffix: what image names end in.
        seg_map_suffix: what label names end in.
        reduce_zero_label: raw 0 is ignored, raw v is class v - 1.
        **options: see :class:`~swinseg.datasets.checked.CheckedDataset`, which rejects unknown ones.
    """

    METAINFO: ClassVar[dict[str, Any]] = ADE20KDataset.METAINFO

    def __init__(
        self,
        *,
        img_suffix: str | Sequence[str] = '.jpg',
        seg_map_suffix: str | Sequence[str] = '.png',
        reduce_zero_label: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            reduce_zero_label=reduce_zero_label,
            **options,
        )

    def missing_data_hint(self) -> str:
        """Say where ADE20K comes from, or how the mini set is drawn where its classes are asked for."""
        # Imported here so that `python -m swinseg.datasets.mini` does not find itself imported already.
        from swinseg.datasets.mini.dataset import CLASSES as MINI_CLASSES

        root = self.data_root or os.path.dirname(os.path.dirname(self.data_prefix['img_path']))
        if tuple(self._metainfo['classes']) == MINI_CLASSES:
            return f'draw the mini set with: swinseg prepare mini --out {root or "DIR"}'
        return (
            f'get it with: swinseg prepare ade20k --out {root or "DIR"}, or set data_root to '
            'where its folders images and annotations are'
        )
