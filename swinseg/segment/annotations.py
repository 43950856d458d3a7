"""Files of all images that were segmented, for the annotation tools in which people correct them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from swinseg.files import make_folder, write_text
from swinseg.predictor.segmentation import Segmentation
from swinseg.segment.sources import InputError, Source, folded
from swinseg.visualization import annotation_formats
from swinseg.visualization.palette import Palette

FILES = {
    'cvat': ('annotations.xml',),
    'label-studio': ('label-studio.json', 'label-studio-config.xml'),
    'yolo': ('yolo/data.yaml',),
}
"""What is written for each tool, beside a label file of YOLO for each image."""


def annotation_files(tools: Sequence[str], sources: Sequence[Source]) -> list[str]:
    """Return the names of the files for some tools, relative to the folder of the results.

    Raises:
        InputError: two images would have one label file of YOLO.
    """
    names = [name for tool in tools for name in FILES[tool]]
    labels: dict[str, Source] = {}
    for source in sources if 'yolo' in tools else ():
        name = _yolo_name(source)
        other = labels.setdefault(folded(name), source)
        if other is not source:
            raise InputError(
                f'{other.path} and {source.path} have one label file of YOLO, {name}; rename one of them, or '
                'segment them in two calls, each with an --out of its own'
            )
        names.append(name)
    return names


def image_name(source: Source) -> str:
    """Return an image's name in a tool: as in the folder that was segmented."""
    return (Path(source.name).parent / source.path.name).as_posix()


class Annotations:
    """Collects what the tools are told of each image; what is kept of one is small.

    Args:
        out: folder of the results.
        tools: names in :data:`FILES`.
        classes: a name for each label.
        palette: a color for each label.
        address: what stands before the name of an image where Label Studio finds it.
    """

    def __init__(
        self,
        out: Path,
        tools: Sequence[str],
        classes: Sequence[str],
        palette: Palette,
        *,
        address: str = '',
    ) -> None:
        self._out = out
        self._tools = tools
        self._classes = classes
        self._palette = palette
        self._address = address
        self._has_yolo_labels = False
        self._images: list[Element] = []
        # As text, for lists of numbers are several times as large.
        self._tasks: list[str] = []

    def add(self, source: Source, result: Segmentation) -> None:
        """Add an image.

        Raises:
            OutputError: its label file cannot be written.
        """
        name = image_name(source)
        if 'cvat' in self._tools:
            image = annotation_formats.cvat_image(result.labels, classes=result.classes, name=name)
            self._images.append(image)
        if 'label-studio' in self._tools:
            (task,) = result.to_label_studio(address=f'{self._address}{name}')
            self._tasks.append(json.dumps(task, separators=(',', ':')))
        if 'yolo' in self._tools:
            self._write(_yolo_name(source), result.to_yolo())
            self._has_yolo_labels = True

    def finish(self) -> None:
        """Write the files about all images.

        Raises:
            OutputError: one cannot be written.
        """
        if self._images:
            text = annotation_formats.to_cvat(
                self._images, classes=self._classes, palette=self._palette
            )
            self._write(FILES['cvat'][0], text)
        if self._tasks:
            tasks, config = FILES['label-studio']
            self._write(tasks, f'[{",".join(self._tasks)}]')
            self._write(
                config,
                annotation_formats.label_studio_config(
                    classes=self._classes, palette=self._palette
                ),
            )
        if self._has_yolo_labels:
            self._write(FILES['yolo'][0], annotation_formats.yolo_data(self._classes))

    def _write(self, name: str, text: str) -> None:
        path = self._out / name
        make_folder(path.parent)
        write_text(path, text)


def _yolo_name(source: Source) -> str:
    return f'yolo/labels/{Path(image_name(source)).with_suffix(".txt").as_posix()}'
