"""Findings about files: unreadable ones, labels of another size, images that are odd."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from swinseg.datasets.check.findings import Finding, some_files
from swinseg.datasets.check.pair import ImageFacts, PairFacts

# The backbone divides each side by 32.
_TINY = 32
_ELONGATED = 8
_HUGE = 64_000_000
_FLAT = 1.0

_CODES = {'image': 'unreadable-images', 'label': 'unreadable-labels', 'size': 'size-mismatch'}
_WHAT = {
    'image': 'images cannot be used',
    'label': 'labels cannot be used',
    'size': 'labels have another size than their image',
}


def file_findings(split: str, facts: Sequence[PairFacts]) -> list[Finding]:
    """Say which files training would stop at."""
    findings = []
    for kind, code in _CODES.items():
        problems = [p for pair in facts for p in pair.problems if p.kind == kind]
        if problems:
            first = problems[0].sentence
            sentence = (
                first
                if len(problems) == 1
                else f'{len(problems)} {_WHAT[kind]}, the first: {first}'
            )
            paths = tuple(problem.path for problem in problems)
            findings.append(Finding(code, 'error', split, sentence, paths))
    return findings


def several_picture_findings(split: str, facts: Sequence[PairFacts]) -> list[Finding]:
    """Say of which images only the first of several pictures is learnt."""
    found = [
        (pair.job.image, pair.image.more_pictures)
        for pair in facts
        if pair.image is not None and pair.image.more_pictures is not None
    ]
    if not found:
        return []
    first = found[0][1]
    sentence = (
        first
        if len(found) == 1
        else f'{len(found)} images hold more pictures than the one that is read, the first: {first}'
    )
    return [
        Finding('several-pictures', 'warning', split, sentence, tuple(path for path, _ in found))
    ]


def odd_image_findings(split: str, facts: Sequence[PairFacts]) -> list[Finding]:
    """Say which images are tiny, elongated, huge or blank."""
    kinds: tuple[tuple[str, Callable[[ImageFacts], bool], str, str], ...] = (
        (
            'tiny-images',
            lambda image: min(image.shape) < _TINY,
            f'{{}} shorter than {_TINY} pixels on a side, less than one cell of the coarsest feature map',
            'remove them, or check that they are no thumbnails',
        ),
        (
            'elongated-images',
            lambda image: max(image.shape) > _ELONGATED * min(image.shape),
            f'{{}} more than {_ELONGATED} times as long as wide',
            'cut them into pieces, or check that they are no strips or banners',
        ),
        (
            'huge-images',
            lambda image: image.shape[0] * image.shape[1] > _HUGE,
            f'{{}} larger than {_HUGE // 10**6} megapixels, which every epoch decodes whole',
            'cut them into tiles',
        ),
        (
            'blank-images',
            lambda image: image.std is not None and max(image.std) < _FLAT,
            '{} of one color throughout',
            'remove them, or export them again',
        ),
    )
    findings = []
    for code, is_odd, what, fix in kinds:
        paths = tuple(
            pair.job.image for pair in facts if pair.image is not None and is_odd(pair.image)
        )
        if paths:
            subject = f'{len(paths)} images are' if len(paths) > 1 else 'one image is'
            sentence = f'{what.format(subject)} ({some_files(paths)}); {fix}'
            findings.append(Finding(code, 'warning', split, sentence, paths))
    return findings
