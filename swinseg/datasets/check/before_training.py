"""Checks of a dataset before training starts, so that a bad file stops the run now and not in an hour."""

from __future__ import annotations

from collections.abc import Sequence

from swinseg.datasets.check import DatasetReport, Finding, Normalization, Split, check_splits
from swinseg.errors import DataError


def check_before_training(
    splits: Sequence[Split],
    *,
    name: str = '',
    normalization: Normalization | None = None,
    sample: int = 64,
) -> DatasetReport:
    """Look at a sample of each split, evenly spread, and stop at an error.

    The rules are those of :mod:`swinseg.datasets.check.rules.of_split`, without ``WHOLE_SET_RULES``. Every file
    must be there. Where the sample holds nothing to learn from, labels are read on, in this process, until one
    shows otherwise or none is left: at most all labels once, which an epoch of training reads as well.

    Args:
        splits: what :func:`swinseg.datasets.check.listing.list_split` returns, the training split first.
        name: of the config, for the report.
        normalization: what the model does with the channels; None compares nothing.
        sample: how many pairs of each split to read.

    Returns:
        What was found, without an error among it.

    Raises:
        DataError: there is an error, whose sentence it is.
    """
    _stop_at_error([finding for split in splits for finding in split.findings])
    report = check_splits(
        splits,
        name=name,
        normalization=normalization,
        sample=sample,
        whole_set_rules=False,
        workers=1,
    )
    _stop_at_error(report.findings)
    return report


def _stop_at_error(findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.severity == 'error':
            raise DataError(finding.sentence, setting=next(iter(finding.paste), ''))
