"""Findings about what labels hold: values, classes that are missing, palettes."""

from __future__ import annotations

from collections.abc import Sequence

from swinseg.datasets.check.findings import Finding, Severity, percent, some, some_files
from swinseg.datasets.check.pair import PairFacts
from swinseg.datasets.check.statistics import ClassStatistics, classes_of, values_seen
from swinseg.datasets.labels.faults import advise, value_sentence
from swinseg.datasets.labels.map import Color, LabelRule, rule_tables

_MOSTLY = 0.9


def label_findings(
    split: str, facts: Sequence[PairFacts], classes: ClassStatistics, *, is_whole: bool = True
) -> list[Finding]:
    """Say what is wrong with the labels that could be read.

    Args:
        split: its name.
        facts: its pairs.
        classes: how often each class occurs in them.
        is_whole: whether these are all labels, so that a value which is not there never occurs.
    """
    if any(pair.label is not None and pair.label.planes is not None for pair in facts):
        return _without_exclusion(split, classes)
    rules = list(dict.fromkeys(pair.job.rule for pair in facts if pair.label is not None))
    wrong = [finding for rule in rules for finding in _wrong_values(split, facts, rule, is_whole)]
    return [
        *wrong,
        # Values that are no class explain why none of the classes is there.
        *([] if wrong else _nothing_to_learn(split, facts, classes, is_whole)),
        *(finding for rule in rules for finding in _palettes(split, facts, rule)),
    ]


def _without_exclusion(split: str, classes: ClassStatistics) -> list[Finding]:
    """Say what is wrong with labels of which a pixel may have several, or none."""
    if not classes.pixels.any():
        sentence = (
            'no pixel of any label has a class; check that the masks were exported whole, and that the folders or '
            'bits are those of the classes'
        )
        severity: Severity = 'error' if split == 'train' else 'warning'
        return [Finding('all-empty', severity, split, sentence)]
    if classes.absent:
        return [_absent_classes(split, classes, 'in the order of the bits of the masks')]
    return []


def _absent_classes(split: str, classes: ClassStatistics, order: str) -> Finding:
    sentence = (
        f'{len(classes.absent)} of {len(classes.names)} classes occur in no label '
        f'({some(classes.absent, limit=5)}); add images of them, or check that the classes are {order}'
    )
    return Finding('absent-classes', 'warning', split, sentence)


def _wrong_values(
    split: str, facts: Sequence[PairFacts], rule: LabelRule, is_whole: bool
) -> list[Finding]:
    _, allowed = rule_tables(rule, 65536)
    concerned = [pair for pair in facts if pair.label is not None and pair.job.rule == rule]
    bad = [pair for pair in concerned if pair.label and not allowed[pair.label.values].all()]
    if not bad or bad[0].label is None:
        return []
    seen = values_seen(facts, rule)
    paths = tuple(str(pair.job.label) for pair in bad)
    advice = advise(list(seen), rule, of_all=is_whole)
    sentence = value_sentence(paths[0], bad[0].label.values.tolist(), rule, advice=advice)
    if len(bad) > 1:
        share = sum(n for value, n in seen.items() if not allowed[value]) / sum(seen.values())
        sentence = (
            f'{len(bad)} of {len(concerned)} labels hold values that are no class, {percent(share)} of all '
            f'pixels, the first: {sentence}'
        )
    paste = tuple(option.setting for option in advice.options)
    return [Finding('label-values', 'error', split, sentence, paths, paste)]


def _nothing_to_learn(
    split: str, facts: Sequence[PairFacts], classes: ClassStatistics, is_whole: bool
) -> list[Finding]:
    labeled = [pair for pair in facts if pair.label is not None]
    if not labeled or not classes.names:
        return []
    rule = labeled[0].job.rule
    seen = list(values_seen(facts, rule))
    if not seen:
        # No image has data, which another rule says; the labels are not to blame.
        return []
    advice = advise(seen, rule, of_all=is_whole)
    paste = tuple(option.setting for option in advice.options)
    held = f'their raw values are {some([str(value) for value in seen], limit=8)}'
    present = [name for name in classes.names if name not in classes.absent]
    if not present:
        sentence = f'all pixels of the {len(labeled)} labels are ignored ({held}); {advice}'
        return [Finding('all-ignored', 'error', split, sentence, paste=paste)]
    if len(present) == 1 and len(classes.names) > 1:
        sentence = (
            f'the {len(labeled)} labels hold only the class {present[0]!r}'
            f'{" and ignored pixels" if classes.ignored else ""} ({held}), so there is nothing to tell '
            f'apart; {advice}'
        )
        # Few validation images may well lack all classes but one; values that say what they mean are a mistake.
        severity: Severity = 'error' if split == 'train' or paste else 'warning'
        return [Finding('one-class', severity, split, sentence, paste=paste)]
    findings = []
    if classes.absent:
        findings.append(_absent_classes(split, classes, 'in the order of the label values'))
    empty = tuple(
        str(pair.job.label) for pair in labeled if not classes_of(pair, len(classes.names))[0].any()
    )
    if empty:
        sentence = (
            f'{len(empty)} of {len(labeled)} labels hold only ignored pixels ({some_files(empty)}); '
            'remove them with their images, or check that they were exported whole'
        )
        findings.append(Finding('ignored-labels', 'warning', split, sentence, empty))
    if classes.ignored_share > _MOSTLY:
        sentence = (
            f'{percent(classes.ignored_share)} of the pixels are ignored ({held}); check reduce_zero_label, '
            'label_map and ignore_values'
        )
        findings.append(Finding('mostly-ignored', 'warning', split, sentence))
    return [*findings, *_reduced_class(split, seen, rule)]


def _reduced_class(split: str, seen: Sequence[int], rule: LabelRule) -> list[Finding]:
    """Notice reduce_zero_label on labels whose first class is 0: every other value occurs, the last does not."""
    count = rule.num_classes
    plain = [value for value in seen if value != rule.ignore_index]
    if not rule.reduce_zero_label or count is None or plain != list(range(count)):
        return []
    sentence = (
        f'reduce_zero_label is set, but the labels hold the values 0 to {count - 1} and never {count}, so 0 '
        'seems to be the first class and not unlabeled; leave reduce_zero_label out'
    )
    # The last class may well be in no validation image.
    severity: Severity = 'error' if split == 'train' else 'warning'
    return [
        Finding('zero-is-a-class', severity, split, sentence, paste=('reduce_zero_label=False',))
    ]


def _palettes(split: str, facts: Sequence[PairFacts], rule: LabelRule) -> list[Finding]:
    """Notice that an index has one color in one palette file and another in the next."""
    colors: dict[int, tuple[Color, str]] = {}
    for pair in facts:
        if pair.label is None or pair.label.palette is None or pair.job.rule != rule:
            continue
        path = str(pair.job.label)
        for value, color in pair.label.palette.items():
            before, where = colors.setdefault(value, (color, path))
            if before != color:
                sentence = (
                    f'label value {value} has the color {list(before)} in {where} but {list(color)} in '
                    f'{path}, so each file may number the classes in its own way; set color_labels=True '
                    'with the palette of the classes'
                )
                return [Finding('palettes-differ', 'warning', split, sentence, (where, path))]
    return []
