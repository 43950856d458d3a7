"""The log of a training that never was, written as a real one writes it."""

from __future__ import annotations

from pathlib import Path

from mmengine.visualization import LocalVisBackend


def write_run(
    folder: Path,
    first: int,
    last: int,
    *,
    loss: float = 1.0,
    interval: int = 10,
    validate: int = 20,
    classes: tuple[str, ...] = (),
    miou: float = 10.0,
) -> Path:
    """Write a log as mmengine's LoggerHook does through its LocalVisBackend; return its path.

    Args:
        folder: of the run.
        first: the first iteration in it.
        last: the last one.
        loss: of every line.
        interval: iterations between lines of the training.
        validate: iterations between validations, whose mIoU is ``miou + iteration / 10``.
        classes: those with an IoU of their own, the first mIoU, each further one 1 more.
        miou: see above.
    """
    backend = LocalVisBackend(save_dir=str(folder / 'vis_data'))
    for step in range(first, last + 1, interval):
        line = {'lr': 1e-4 / step, 'data_time': 0.01, 'loss': loss, 'decode.loss_ce': loss / 2}
        speed = {'images_per_second': 8.0, 'memory': 700}
        rest = {'decode.acc_seg': 50.0, 'time': 0.1, 'iter': step}
        backend.add_scalars({**line, **speed, **rest}, step=step)
        if step % validate == 0:
            figure = miou + step / 10
            backend.add_scalars({'aAcc': 60.0, 'mIoU': figure, 'mAcc': 30.0}, step=step)
            ious = {f'IoU/{name}': figure + index for index, name in enumerate(classes)}
            if ious:
                backend.add_scalars(ious, step=step)
    return folder / 'vis_data' / 'scalars.json'
