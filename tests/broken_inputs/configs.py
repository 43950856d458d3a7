"""Configs and command lines of trainings and evaluations."""

from __future__ import annotations

from collections.abc import Callable

from broken_inputs.place import CommandLine, Place


def _config(name: str, content: str) -> Callable[[Place], CommandLine]:
    return lambda place: ['train', place.file(name, content), *place.options()]


def _extra(extra: str) -> Callable[[Place], CommandLine]:
    return lambda place: place.train(extra=extra)


def _options(*options: str) -> Callable[[Place], CommandLine]:
    return lambda place: place.train(options=options)


def _misnamed(place: Place) -> CommandLine:
    return ['train', place.write_config().with_name('tinny.py'), *place.options()]


def _below_a_file(tool: str, option: str) -> Callable[[Place], CommandLine]:
    def make(place: Place) -> CommandLine:
        below = place.file('file') / 'below'
        checkpoint = [place.checkpoint] if tool == 'test' else []
        return [tool, place.write_config(), *checkpoint, option, below]

    return make


def _circle(place: Place) -> CommandLine:
    place.file('one.py', "_base_ = './two.py'")
    return ['train', place.file('two.py', "_base_ = './one.py'"), *place.options()]


SGD = "optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=0.1, weight_decay=0.0))"
BY_TIFFFILE = dict(type='LoadImageFromFile', imdecode_backend='tifffile')
LOADER = "train_dataloader = dict(dataset=dict(pipeline=[{}, dict(type='LoadLabel')]))"


def _beside(place: Place) -> CommandLine:
    place.file('own_parts.py')
    config = place.file('leaf.py', "custom_imports = dict(imports=['own_parts'])")
    return ['train', config, *place.options()]


KINDS: dict[str, tuple[Callable[[Place], CommandLine], str]] = {
    'not there': (_misnamed, r'no config file .*tinny\.py; did you mean .*tiny\.py'),
    'a folder': (lambda place: ['train', place.folder, *place.options()], r'there is no config file'),
    'a file of another kind': (_config('notes.txt', 'hello'), r'a config is a \.py file, got .*notes\.txt'),
    'empty': (_config('empty.py', ''), r'training needs model, .* in .*empty\.py'),
    'not Python': (_config('cut.py', 'model = dict('), r'cut\.py, line 1: .*not valid Python'),
    'a module that is not installed': (
        _extra("custom_imports = dict(imports=['no_such_module'])"),
        r'tiny\.py: the config cannot be read: .*there is no module no_such_module: install it',
    ),
    'a module beside the config': (
        _beside, r'leaf\.py: the config cannot be read: .*own_parts is in .*, where .* PYTHONPATH=\S+ before'),
    'a class that cannot be imported': (
        _config('lazy.py', 'from mmseg.models import NoSuchHead\nmodel = dict(type=NoSuchHead)'),
        r'type=mmseg\.models\.NoSuchHead cannot be imported: .*lazy\.py'),
    'a base that is not there': (
        _config('leaf.py', "_base_ = './gone.py'"), r'leaf\.py: the config cannot be read: .*gone\.py'),
    'bases in a circle': (_circle, r'two\.py: the config cannot be read: RecursionError'),
    'a head of mmdet': (
        _extra("model = dict(decode_head=dict(_delete_=True, type='MaskFormerHead', num_classes=10))"),
        r'decode_head\.type=MaskFormerHead .* needs mmdet',
    ),
    'initial weights that are a number': (
        _options('model.backbone.pretrained=123'), r'pretrained of SwinBackbone must be a path .*found 123'),
    'pretraining images of three sides': (
        _options('model.backbone.pretrain_img_size=[224,224,3]'),
        r'pretrain_img_size of SwinBackbone must be .*found \[224, 224, 3\]'),
    'channels below 0': (_options('model.backbone.embed_dims=-16'), r'embed_dims of SwinBackbone .*found -16'),
    'a loader that reduces the zero label where the dataset does not': (
        _options('train_dataloader.dataset.pipeline.LoadLabel.reduce_zero_label=False'),
        r'LoadLabel has reduce_zero_label=False, but \w+ has reduce_zero_label=True'),
    'a decoder of labels that is none': (
        _options('train_dataloader.dataset.pipeline.LoadLabel.imdecode_backend=pilow'),
        r"imdecode_backend of LoadLabel must be .*found 'pilow'"),
    'files on another machine': (
        _extra("train_dataloader = dict(dataset=dict(backend_args=dict(backend='petrel')))"),
        r"backend_args of a dataset must be .*petrel.*mount"),
    'an unknown type': (_extra("model = dict(backbone=dict(type='SwinBakbone'))"),
                        r'SwinBakbone.*is not registered; did you mean SwinBackbone'),
    'a misspelled key': (_extra('model = dict(backbone=dict(windw_size=7))'),
                         r'model\.backbone\.windw_size .*did you mean window_size\?'),
    'a number of classes that is not that of the data': (
        _extra('model = dict(decode_head=dict(num_classes=7))'), r'num_classes=7 .*has 10 classes; set it to 10'),
    'an unknown effective_batch': (
        _extra("effective_batch = 'twice'"), r"effective_batch must be one of .*'twice'"),
    'a misspelled option': (_options('model.backbone.windw_size=7'),
                            r'no windw_size; did you mean model\.backbone\.window_size\?'),
    'an option without value': (_options('model.backbone.window_size'), r'takes pairs'),
    'an option for a list': (
        _options('param_scheduler.9.end=1'),
        r'param_scheduler is a list of 2 without an item 9; it has LinearLR, PolyLR$'),
    'an option that counts the steps of a pipeline': (
        _options('train_dataloader.dataset.pipeline.3.crop_size=(8,8)'),
        r'by their types, not by numbers: write train_dataloader\.dataset\.pipeline\.RandomCrop\.crop_size for'),
    'an option whose bracket is open': (
        _options('model.decode_head.loss_decode.class_weight=[1,2'),
        r'class_weight: a bracket is not closed in \[1,2'),
    'an option whose dict has no keys': (
        _options('optim_wrapper.clip_grad={1.0}'), r"clip_grad: expected key:value in a dict, found '1\.0'"),
    'an option that misspells what it begins': (
        _options('optim_wrapper.clip_grad.max_nrom=1.0'),
        r'no max_nrom; did you mean optim_wrapper\.clip_grad\.max_norm'),
    'a variable that nothing reads': (
        _extra("norm_cfg = dict(type='GN', num_groups=8)"),
        r'norm_cfg in .*tiny\.py is set and not used there, so it changes nothing: set model\.decode_head'),
    'a variable of other configs': (
        _extra('crop_size = (96, 96)'),
        r'crop_size in .*: set model\.data_preprocessor\.size and train_dataloader'),
    'an option for a variable': (
        _options('train_pipeline.RandomCrop.crop_size=(8,8)'),
        r'would change nothing, .* set train_dataloader\.dataset\.pipeline\.RandomCrop\.crop_size'),
    'a list for a tuple': (_options('train_dataloader.dataset.pipeline.RandomCrop.crop_size=48,48'),
                           r'RandomCrop refuses .* list'),
    'a number for a list': (_options('model.decode_head.in_channels=16'), r'UPerNetHead refuses .*isinstance'),
    'a schedule that ends before it begins': (
        _options('param_scheduler.PolyLR.end=20'), r'PolyLR refuses param_scheduler.1 .*begin=50, end=20'),
    'a rate of 0 after the schedule': (
        _options('param_scheduler.PolyLR.end=60', 'train_cfg.max_iters=70'),
        r'iterations 60 to 70 would train with a learning rate of 0, because of .*PolyLR.* leaving its end out'),
    'a rate of 0 from the beginning': (
        _options('optim_wrapper.optimizer.lr=0.0'),
        r'iterations 2 to 4 would train with .*optimizer\.lr above 0'),
    'a schedule by epochs in a training by iterations': (
        _extra("param_scheduler = [dict(type='PolyLR', end=9)]"), r'PolyLR of param_scheduler counts epochs'),
    'epochs in a training by iterations': (
        _options('train_cfg.max_epochs=3'), r'max_epochs=3 is not read .*add train_cfg\.by_epoch=True'),
    'epochs without a number': (_options('train_cfg.by_epoch=True'), r'set train_cfg\.max_epochs'),
    'an end before what is trained': (
        lambda place: place.train('--resume', place.checkpoint, options=('train_cfg.max_iters=2',)),
        r'iter_4\.pth was written after iteration 4, but train_cfg\.max_iters=2 ends the training before'),
    'an end before what is trained, in epochs': (
        lambda place: place.train(
            '--resume', place.checkpoint,
            options=('train_cfg.by_epoch=True', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1')),
        r'iter_4\.pth was written after epoch 2, but train_cfg\.max_epochs=1 ends'),
    'an unknown resume_schedule': (
        _extra("resume_schedule = 'mine'"), r'resume_schedule must be config or checkpoint, not mine'),
    'another optimizer than that of the checkpoint': (
        lambda place: place.train('--resume', place.checkpoint, extra=SGD),
        r'iter_4\.pth is of another optimizer'),
    'groups of parameters that the checkpoint has not': (
        lambda place: place.train('--resume', place.checkpoint, extra='optim_wrapper = dict(paramwise_cfg=None)'),
        r'has \d+ groups of parameters in its optimizer and the config makes 1'),
    'SGD with the settings of AdamW': (
        _options('optim_wrapper.optimizer.type=SGD'),
        r"not understood by SGD.* write optim_wrapper = dict\(optimizer=dict\(_delete_=True, type='SGD', lr="),
    'a multiple of a weight decay that there is not': (
        _extra("optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-3))"),
        r'custom_keys\.\w+ multiplies the weight_decay .*set optim_wrapper\.optimizer\.weight_decay'),
    'a last batch of one image': (
        _options('train_dataloader.batch_size=3', 'train_cfg.by_epoch=True', 'train_cfg.max_epochs=2'),
        r'last batch of a pass .* has one image \(4 images in batches of 3\).*drop_last=True'),
    'fewer images than a batch': (
        _options('train_dataloader.batch_size=9', 'train_dataloader.drop_last=True', 'train_cfg.by_epoch=True',
                 'train_cfg.max_epochs=2'), r'has 4 images, too few for one batch of 9'),
    'a best checkpoint by a figure that there is not': (
        _options('default_hooks.checkpoint.save_best=mDice'),
        r"save_best names 'mDice', but a validation gives aAcc, mIoU, mAcc; for mDice add it"),
    'early stopping by a figure that there is not': (
        _extra("custom_hooks = [dict(type='ResumableEarlyStoppingHook', monitor='val_loss')]"),
        r"monitor of ResumableEarlyStoppingHook names 'val_loss', .*set validation_loss=True"),
    'a batch of no images': (
        _options('train_dataloader.batch_size=0'), r'refuses train_dataloader .*batch_size=0'),
    'a negative number of workers': (
        _options('train_dataloader.num_workers=-1'), r'refuses train_dataloader .*num_workers'),
    'a negative learning rate': (_options('optim_wrapper.optimizer.lr=-1.0'), r'AdamW refuses .*learning rate'),
    'no steps': (
        _options('train_cfg.max_iters=0'), r'train_cfg\.max_iters must be a whole number from 1 on, not 0'),
    'half a step': (_options('train_cfg.max_iters=2.5'), r'max_iters must be a whole number from 1 on, not 2\.5'),
    'no steps between validations': (
        _options('train_cfg.val_interval=0'),
        r'val_interval must be a whole number from 1 on, not 0; to train wi'),
    'validations that go backwards': (
        _options('train_cfg.val_interval=-5'), r'val_interval must be a whole number'),
    'intervals of validations that are none': (
        _options('train_cfg.dynamic_intervals=[(2,0)]'), r'interval of train_cfg\.dynamic_intervals must be'),
    'no steps between lines of the log': (
        _options('default_hooks.logger.interval=0'), r'default_hooks\.logger\.interval must be a whole number'),
    'no steps between lines of the terminal': (
        _options('training_hooks.progress.interval=0'),
        r'training_hooks\.progress\.interval must be a whole number from 1 on, not 0'),
    'a checkpoint at each word': (
        _options('default_hooks.checkpoint.interval=often'), r'checkpoint\.interval must be .*, not often'),
    'a hook that is no dict': (
        _options('training_hooks.curves=no'),
        r'training_hooks\.curves must be a dict of arguments, or None for no'),
    'a backend whose package is not there': (
        _extra("visualizer = dict(vis_backends=[dict(type='NeptuneVisBackend')])"),
        r'vis_backends\.0 .*needs the package neptune, .*pip install neptune'),
    'a level of the log that there is not': (_extra("log_level = 'LOUD'"), r'refuses log_level of .*LOUD'),
    'class names that are numbers': (
        _extra('train_dataloader = dict(dataset=dict(metainfo=dict(classes=[1, 2])))\n'
               'model = dict(decode_head=dict(num_classes=2), auxiliary_head=dict(num_classes=2))'),
        r'has the class name 1, but names are texts'),
    'class names that are dicts': (
        _extra("train_dataloader = dict(dataset=dict(metainfo=dict(classes=[dict(name='a')])))\n"
               'model = dict(decode_head=dict(num_classes=1), auxiliary_head=dict(num_classes=1))'),
        r"has the class name \{'name': 'a'\}, but names are texts"),
    'classes that are a number': (
        _extra('train_dataloader = dict(dataset=dict(metainfo=dict(classes=7)))'),
        r'must be a list of names, found 7'),
    'a timeout below 0': (
        _options('train_dataloader.timeout=-1'), r'timeout of a data loader takes seconds, or 0 .*, not -1'),
    'a learning rate that ends in infinity': (
        lambda place: place.train(options=('optim_wrapper.optimizer.lr=1e30', 'param_scheduler=None',
                                           'train_cfg.max_iters=9', 'training_hooks.non_finite_guard.limit=0')),
        r'the loss became (nan|inf) at iteration'),
    'a work directory below a file': (_below_a_file('train', '--work-dir'),
                                      r'cannot write to the output folder .*below'),
    'an output folder below a file': (_below_a_file('test', '--out'), r'cannot write to the output folder'),
    'a loader whose package is missing': (
        lambda place: place.train(extra=LOADER.format(dict(type='LoadSingleRSImageFromFile'))),
        r'LoadSingleRSImageFromFile refuses .*pipeline\.0 of .*: gdal is not installed; install the package'),
    'a decoder whose package is missing': (
        lambda place: place.train(extra=LOADER.format(BY_TIFFFILE)),
        r"imdecode_backend='tifffile', whose package is not installed: pip install tifffile"),
    'no pipeline for --tta': (lambda place: place.test('--tta', extra='tta_pipeline = []'),
                              r'needs a tta_pipeline'),
}  # fmt: skip
"""As in ``data.KINDS``."""
