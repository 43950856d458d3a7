"""Steps of training and prediction on a device that is not there: no mismatch, and no wait that is not listed.

A GPU computes while the host goes on; each step that needs a value, or copies from ordinary memory, makes the host
wait until all that was begun is done, and the device is idle then. ``WAITS`` lists all that remain.
"""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from support.fake_device import FakeDevice, OnDevice
from support.mmseg_pairs import TINY, build_segmentor, randomize
from swinseg import prepare_for_inference
from swinseg.engine import NonFiniteGuardHook
from swinseg.engine.loop.pinned_memory import PinnableCollate
from swinseg.engine.optim.on_gpu import with_fused_step
from swinseg.evaluation.confusion import EvaluationError, confusion_matrix
from swinseg.models import offload
from swinseg.models.feature_info import fsdp_units, image_channels
from swinseg.models.scoring import View, mean_probabilities, normalize_inputs
from swinseg.segment.scenes.windows import WindowScores

CLASSES = 20
SIZE = (100, 118)
SLIDE = dict(mode='slide', crop_size=(64, 64), stride=(48, 48))

NEW_SIZE = {
    'swinseg/models/swin/window_geometry.py:_moved',
    'swinseg/models/swin/window_geometry.py:_cached',
    'swinseg/models/postprocess.py:_neighbors_on',
    'swinseg/models/ops/blockwise_loss.py:_interpolation',
    'swinseg/models/ops/blockwise_loss.py:_weights_on',
    'swinseg/models/ops/upsampled_conv.py:_blocks',
    'swinseg/inference/window_sums.py:_computed',
}
"""Copies at a size that was not seen before: indices and weights that are kept then. Only MPS waits for them."""

WAITS = {
    # Whether the loss is finite, before the weights are changed by it.
    ('swinseg/engine/hooks/nonfinite_loss.py:_is_finite_everywhere', 'item'): 1,
    # All that is logged of a step, at its end.
    ('swinseg/engine/hooks/nonfinite_loss.py:_read_at_once', 'tolist'): 1,
    # The matrix itself, one copy for an image: the metric adds them up on the host.
    ('swinseg/evaluation/confusion.py:_count_any', 'copy to the host'): 1,
}
"""At each image or step, however often its size was seen: how many, and why."""


@pytest.fixture(params=['cuda:0', 'mps'])
def device(request):
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield FakeDevice(request.param)


# Whole and shifted windows once.
SECOND_VERSION = dict(type='SwinV2Backbone', depths=(2, 1, 1, 1))


def build(backbone=None, **segmentor):
    return randomize(
        build_segmentor(
            stock=False,
            backbone={**TINY, 'drop_path_rate': 0.0, **(backbone or {})},
            channels=16,
            num_classes=CLASSES,
            **segmentor,
        )
    ).eval()


def images(count=2):
    generator = torch.Generator().manual_seed(4)
    return torch.randn(count, 3, *SIZE, generator=generator)


def samples(device, count, *, original=SIZE, **meta):
    found = []
    for seed in range(count):
        labels = torch.randint(
            0, CLASSES, (1, *SIZE), generator=torch.Generator().manual_seed(seed)
        )
        labels[:, :9] = 255
        sample = SegDataSample(
            metainfo=dict(img_shape=SIZE, ori_shape=original, pad_shape=SIZE, **meta)
        )
        sample.gt_sem_seg = PixelData(data=labels)
        if device is not None:
            sample.gt_sem_seg.data = device.put(labels)
        found.append(sample)
    return found


def waits_after_the_first(device, step):
    """Return the result of a step and the waits of the second time, after a look at those of the first."""
    with device:
        step()
        copies = set(device.waits) - set(WAITS)
        if device.device.type == 'cuda':
            assert copies == set()
            copies = set(device.copies)
        assert {place for place, _ in copies} <= NEW_SIZE
        device.reset()
        found = step()
        assert not device.copies
    assert device.kernels > 0
    return found, dict(device.waits)


GAUSSIAN = dict(SLIDE, blend='gaussian')


@pytest.mark.parametrize(
    ('test_cfg', 'flip', 'original'),
    [
        (dict(mode='whole'), None, SIZE),
        (dict(mode='whole'), 'horizontal', (103, 125)),
        (SLIDE, None, SIZE),
        (SLIDE, 'vertical', (103, 125)),
        (GAUSSIAN, 'horizontal', (103, 125)),
    ],
)
def test_predict(device, test_cfg, flip, original):
    meta = {} if flip is None else dict(flip=True, flip_direction=flip)
    model = build(test_cfg=ConfigDict(test_cfg), keep_confidence=original != SIZE)
    with torch.no_grad():
        expected = model.predict(images(1), samples(None, 1, original=original, **meta))
    with device:
        model = device.move(model)

    @torch.no_grad()
    def predict():
        return model.predict(device.put(images(1)), samples(device, 1, original=original, **meta))

    found, waits = waits_after_the_first(device, predict)
    assert waits == {}
    for ours, theirs in zip(found, expected, strict=True):
        assert isinstance(ours.pred_sem_seg.data, OnDevice)
        labels = ours.pred_sem_seg.data.held
        assert labels.shape == theirs.pred_sem_seg.data.shape
        assert (labels != theirs.pred_sem_seg.data).float().mean() < 1e-3


@pytest.mark.parametrize(
    ('dtype', 'backbone'),
    [
        (torch.float32, None),
        (torch.bfloat16, None),
        (torch.float16, None),
        (torch.float16, SECOND_VERSION),
    ],
)
def test_prepared(device, dtype, backbone):
    model = build(backbone)
    with torch.no_grad():
        expected = model.decode_head(model.backbone(images()))
    with device:
        prepared = prepare_for_inference(device.move(model), dtype)

    @torch.no_grad()
    def logits():
        return prepared.decode_head(prepared.backbone(device.put(images())))

    found, waits = waits_after_the_first(device, logits)
    assert waits == {}
    assert found.dtype == torch.float32
    bound = {torch.float32: 1e-5, torch.float16: 0.02, torch.bfloat16: 0.1}[dtype]
    assert (found.held - expected).abs().max() < bound * expected.abs().max()


def test_second_version(device):
    """Features and gradients are those of the CPU, without a wait."""
    model = build(SECOND_VERSION).backbone
    for name, parameter in model.named_parameters():
        # PyTorch's gradient of a clamp makes a number on the device by itself, which these tensors cannot follow.
        parameter.requires_grad_(not name.endswith('logit_scale'))

    def step(backbone, x):
        backbone.zero_grad(set_to_none=True)
        sum(y.square().mean() for y in backbone(x)).backward()
        return {
            name: each.grad for name, each in backbone.named_parameters() if each.grad is not None
        }

    expected = step(model, images())
    with device:
        there = device.move(model)
    found, waits = waits_after_the_first(device, lambda: step(there, device.put(images())))
    assert waits == {}
    assert list(found) == list(expected)
    for name, gradient in found.items():
        difference = (gradient.held - expected[name]).norm()
        assert difference <= 1e-4 * expected[name].norm() + 1e-7, name


@pytest.mark.parametrize(
    'class_weight',
    [[0.5] * CLASSES, pytest.param(None, marks=pytest.mark.full)],
    ids=['weighted', 'plain'],
)
def test_training_step(device, class_weight):
    """Loss, gradient, layer-wise decay, a step of AdamW, moving average: the same weights as on the CPU."""
    reference = trained(build(), None, class_weight)
    model = build()
    with device:
        model = device.move(model)
    step = train_step(model, device, class_weight)
    found, waits = waits_after_the_first(device, step)
    assert waits == {}
    for name, parameter in found.state_dict().items():
        assert isinstance(parameter, OnDevice), name
        other = reference.state_dict()[name]
        assert torch.allclose(parameter.held.float(), other.float(), rtol=1e-4, atol=1e-5), name


def trained(model, device, class_weight):
    step = train_step(model, device, class_weight)
    step()
    return step()


def train_step(model, device, class_weight):
    """Return a function that trains a step and returns the averaged model."""
    model.train()
    model.decode_head.loss_decode.class_weight = class_weight
    # Steps in proportion to the gradient: a small epsilon makes the rounding of a gradient of nearly zero as large
    # as any other. On CUDA they are fused; the choice of foreach asks PyTorch for the device's own tensors.
    optimizer = dict(type='AdamW', lr=1e-2, eps=1.0)
    if device is None or device.device.type != 'cuda':
        optimizer['foreach'] = False
    settings = dict(
        optimizer=optimizer, constructor='LayerDecayConstructor', paramwise_cfg=dict(decay_rate=0.9)
    )
    if device is not None:
        device.__enter__()
    try:
        wrapper = build_optim_wrapper(model, with_fused_step(ConfigDict(settings), model))
        average = ExponentialMovingAverage(model, momentum=0.5)
    finally:
        if device is not None:
            device.__exit__(None, None, None)

    def step():
        given = images() if device is None else device.put(images())
        losses = model.loss(given, samples(device, 2))
        total = sum(value for name, value in losses.items() if 'loss' in name)
        wrapper.optimizer.zero_grad()
        total.backward()
        wrapper.optimizer.step()
        average.update_parameters(model)
        return average.module

    return step


def test_offloaded_activations__gradients_are_the_same(device, monkeypatch):
    """Nothing waits for the copies there and back; MPS, which shares its memory, keeps all where it is."""
    monkeypatch.setattr(offload, '_LEAST', 2**14)
    for name in ('_pack', '_unpack'):
        monkeypatch.setattr(offload, name, device.inside(getattr(offload, name)))

    def step(model):
        losses = model.loss(device.put(images()), samples(device, 2))
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        found = {name: weight.grad.held.clone() for name, weight in model.named_parameters()}
        model.zero_grad()
        return found

    with device:
        model = device.move(build().train())
    expected, _ = waits_after_the_first(device, lambda: step(model))
    model.offload_activations = True
    with device:
        device.reset()
        found = step(model)
    assert device.waits.total() == 0
    copies = dict.fromkeys(('copy to pinned memory', 'copy from pinned memory'), 0)
    for (_, reason), count in device.copies.items():
        copies[reason] += count
    there, back = copies.values()
    assert there == back
    assert (there > 50) is (device.device.type == 'cuda')
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.equal(found[name], gradient), name


def test_confusion_matrix(device):
    generator = torch.Generator().manual_seed(0)
    predicted = torch.randint(0, CLASSES, (1, 64, 70), dtype=torch.uint8, generator=generator)
    label = torch.randint(0, CLASSES, (1, 64, 70), generator=generator)
    label[:, 3:20] = 255
    expected = confusion_matrix(predicted, label, num_classes=CLASSES)

    def count():
        return confusion_matrix(device.put(predicted), device.put(label), num_classes=CLASSES)

    found, waits = waits_after_the_first(device, count)
    assert (found == expected).all()
    place = ('swinseg/evaluation/confusion.py:_count_any', 'copy to the host')
    assert waits == {place: WAITS[place]}
    label[0, 50, 3] = 77
    with device, pytest.raises(EvaluationError, match=r'a label .* but 77 was found'):
        confusion_matrix(device.put(predicted), device.put(label), num_classes=CLASSES)


def test_training_step__with_its_guard_waits_twice(device):
    """From pinned images to the figures of the log, as mmengine's loop does it."""
    with device:
        model = device.move(build(data_preprocessor=dict(type='SegDataPreProcessor', size=SIZE)))
        model.train()
        settings = dict(optimizer=dict(type='SGD', lr=1e-3, foreach=False))
        wrapper = build_optim_wrapper(model, ConfigDict(settings))
    guard = NonFiniteGuardHook()
    runner = SimpleNamespace(model=model, optim_wrapper=wrapper, iter=0)
    guard.before_train(runner)

    def step():
        batch = {
            'inputs': [device.put(image) for image in images()],
            'data_samples': samples(device, 2),
        }
        guard.before_train_iter(runner, 0, batch)
        outputs = model.train_step(batch, wrapper)
        expected = {name: value.held.item() for name, value in outputs.items()}
        guard.after_train_iter(runner, 0, batch, outputs)
        return outputs, expected

    (outputs, expected), waits = waits_after_the_first(device, step)
    assert outputs == expected
    assert list(outputs) == list(expected)
    assert waits == {key: count for key, count in WAITS.items() if 'nonfinite_loss' in key[0]}


@pytest.mark.parametrize('is_pinned', [True, False])
def test_data_preprocessor__copies_pinned_batches_without_a_wait(device, is_pinned):
    """Images and labels; a batch of a loader that the config forbids to pin is waited for."""
    pixels = torch.randint(0, 256, (2, 3, *SIZE), dtype=torch.uint8)
    packed = [
        {'inputs': image, 'data_samples': sample}
        for image, sample in zip(pixels, samples(None, 2), strict=True)
    ]
    batch = PinnableCollate(pseudo_collate)(packed)
    model = build(data_preprocessor=dict(type='SegDataPreProcessor', size=(128, 128)))
    expected = model.data_preprocessor(batch, True)
    with device:
        model = device.move(model)
        is_pinned = is_pinned and device.device.type == 'cuda'
        data = model.data_preprocessor(batch.pin_memory() if is_pinned else batch, True)
    places = {'copy from pinned memory': device.copies, 'copy from pageable memory': device.waits}
    found = {reason: counts['elsewhere', reason] for reason, counts in places.items()}
    assert list(found.values()) == ([4, 0] if is_pinned else [0, 4])
    assert torch.equal(data['inputs'].held, expected['inputs'])
    for ours, theirs in zip(data['data_samples'], expected['data_samples'], strict=True):
        assert torch.equal(ours.gt_sem_seg.data.held, theirs.gt_sem_seg.data)
        assert ours.img_shape == theirs.img_shape


def test_prediction__uploads_its_images_without_a_wait(device):
    """One by one, as a predictor gives them, and windows of a scene in one copy; MPS waits for them."""
    model = build()
    pixels = torch.randint(0, 256, (2, 3, *SIZE), dtype=torch.uint8)
    with torch.no_grad():
        expected = WindowScores(model)(pixels.float())
    with device:
        model = device.move(model)
        sample = SegDataSample(metainfo=dict(img_shape=SIZE))
        view = normalize_inputs(model, {'inputs': pixels[0], 'data_samples': sample})
        is_cuda = device.device.type == 'cuda'
        counts, others = (device.copies, device.waits)[:: 1 if is_cuda else -1]
        assert [place for place, _ in counts] == ['swinseg/models/scoring.py:normalize_inputs']
        with torch.no_grad():
            WindowScores(model)(pixels.float())
            device.reset()
            scores = WindowScores(model)(pixels.float())
    assert torch.equal(view.pixels.held, pixels[0].float())
    assert others.total() == 0
    (((place, _), count),) = counts.items()
    assert (place, count) == ('swinseg/segment/scenes/windows.py:_preprocess', 1)
    assert torch.allclose(scores.held, expected, atol=1e-4)


def test_mean_over_views(device):
    model = build()
    meta = samples(None, 1)[0].metainfo
    mirrored = dict(meta, flip=True, flip_direction='horizontal')
    pixels = images(1)[0]
    with torch.no_grad():
        views = [View(pixels, meta), View(pixels.flip(2), mirrored)]
        expected = mean_probabilities(model, views, (90, 120), batch_size=2)
    with device:
        model = device.move(model)

    @torch.no_grad()
    def mean():
        views = [
            View(device.put(pixels), meta), View(device.put(pixels.flip(2)), mirrored),
        ]  # fmt: skip
        return mean_probabilities(model, views, (90, 120), batch_size=2)

    found, waits = waits_after_the_first(device, mean)
    assert waits == {}
    assert torch.allclose(found.held, expected, atol=1e-4)


def test_checkpoint__comes_from_the_device_and_goes_back(device):
    model = build()
    with device:
        moved = device.move(build())
        state = {name: value.cpu() for name, value in moved.state_dict().items()}
        assert all(not isinstance(value, OnDevice) for value in state.values())
        moved.load_state_dict(state)
    expected = model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in state.items())
    assert image_channels(moved.backbone) == 3
    assert len(fsdp_units(moved.backbone)) > 0


def test_fake_device__finds_what_it_is_for(device):
    x = torch.arange(6.0)
    with device:
        there = device.put(x)
        with pytest.raises(RuntimeError, match='to be on the same device'):
            there + x
        with pytest.raises(RuntimeError, match='to be on the same device'):
            there.index_put_((torch.tensor([1]),), x[:1])
        with pytest.raises(TypeError, match='to numpy'):
            there.numpy()
        assert (there * torch.tensor(2.0)).held.equal(x * 2)
        device.reset()
        if there.sum() > 3:
            there[there > 2]
        there.tolist()
        there.cpu()
        x.to(device.device)
    assert sorted(reason for _, reason in device.waits) == [
        'boolean index', 'copy from pageable memory', 'copy to the host', 'item', 'tolist',
    ]  # fmt: skip


def test_fake_device__mps_has_no_float64():
    with FakeDevice('mps') as device, pytest.raises(TypeError, match='float64'):
        device.put(torch.zeros(2)).double()
