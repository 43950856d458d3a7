"""Questions a hook may ask of any runner of mmengine's, ``SwinsegRunner`` or the plain one."""

from __future__ import annotations

from pathlib import Path

from mmengine.runner import Runner


def is_training_run(runner: Runner) -> bool:
    """Whether a run trains, so that a validation is one of many."""
    return runner._train_loop is not None


def scalar_files(runner: Runner) -> list[Path]:
    """Return the ``scalars.json`` of a run, preceded by those of the runs that it resumed."""
    if not runner._resume:
        return [Path(runner.log_dir) / 'vis_data' / 'scalars.json']
    # mmengine names a run's folder by its start time.
    return sorted(Path(runner.work_dir).glob('*/vis_data/scalars.json'))
