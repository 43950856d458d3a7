"""Listing the pairs of a dataset, with what keeps others from being pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swinseg.datasets.check.findings import Finding, pasted, some_files
from swinseg.datasets.check.pair import Job, Loading
from swinseg.datasets.checked import CheckedDataset
from swinseg.datasets.labels.map import IGNORE_INDEX, LabelRule
from swinseg.datasets.transforms.loaders import changes_values, image_loader, label_loader
from swinseg.errors import DataError


@dataclass(frozen=True)
class Split:
    """What of a dataset is looked at.

    Attributes:
        name: ``'train'`` or ``'val'``.
        classes: K names.
        palette: K RGB colors.
        jobs: the pairs, each once however often the dataset repeats it.
        loading: how its pipeline reads them.
        changes_values: whether a step of the pipeline may give the loaded values another meaning.
        findings: what was found while listing them.
    """

    name: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, ...], ...]
    jobs: tuple[Job, ...]
    loading: Loading
    changes_values: bool = False
    findings: tuple[Finding, ...] = ()


def list_split(name: str, dataset: Any) -> Split:
    """List the pairs of a dataset.

    Args:
        name: ``'train'`` or ``'val'``.
        dataset: of this package, of mmseg, or mmengine's wrapper of such. One of this package may be built
            with ``lazy_init``; then a pair that is not complete becomes a finding.

    Raises:
        DataError: there is nothing to look at.
    """
    findings: list[Finding] = []
    if isinstance(dataset, CheckedDataset):
        infos = _infos_of_checked(name, dataset, findings)
    else:
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    classes = tuple(str(one) for one in dataset.metainfo.get('classes') or ())
    ignore_index = int(getattr(dataset, 'ignore_index', IGNORE_INDEX))
    jobs: dict[Job, None] = {}
    for info in infos:
        # Stock mmseg datasets do not say how many classes there are, but their metainfo does.
        rule = LabelRule.of(
            {'num_classes': len(classes) or None, 'ignore_index': ignore_index, **info}
        )
        job = Job(
            info['img_path'],
            info.get('seg_map_path'),
            rule,
            info.get('img_path2'),
            multi_label=info.get('multi_label'),
            masks=info.get('mask_paths', ()),
        )
        jobs[job] = None
    if not jobs and not findings:
        raise DataError(
            'the dataset has no images; check data_root, data_prefix and the split file'
        )
    return Split(
        name=name,
        classes=classes,
        palette=tuple(tuple(color) for color in dataset.metainfo.get('palette') or ()),
        jobs=tuple(jobs),
        loading=Loading(image_loader(dataset), label_loader(dataset)),
        changes_values=changes_values(dataset),
        findings=tuple(findings),
    )


def _infos_of_checked(
    name: str, dataset: CheckedDataset, findings: list[Finding]
) -> list[dict[str, Any]]:
    matching = dataset.match_files()
    findings += [
        Finding('pairing', 'error', name, fault.sentence, fault.files, pasted(fault.setting))
        for fault in matching.faults
    ]
    unused = matching.labels_without_image
    if unused:
        sentence = (
            f'{len(unused)} labels belong to no image ({some_files(unused)}) and are not used; add their '
            'images or remove them'
        )
        findings.append(Finding('unused-labels', 'warning', name, sentence, unused))
    if matching.faults:
        return [dataset.data_of(pair) for pair in matching.pairs]
    dataset.full_init()
    return [dataset.get_data_info(index) for index in range(len(dataset))]
