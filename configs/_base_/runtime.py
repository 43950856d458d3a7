default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    # Without GPUs it is gloo. timeout: seconds that a process waits for the others; None is PyTorch's own.
    dist_cfg=dict(backend='nccl', timeout=None),
)
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False

custom_hooks = [
    dict(type='NonFiniteGuardHook'),
    dict(type='FirstBatchHook'),
    dict(type='ProgressHook', interval=50),
    dict(type='CurvesHook'),
    dict(type='SamplePredictionsHook', count=4),
]

# What `--tta` wraps the model in; the scales and flips are the dataset's `tta_pipeline`.
tta_model = dict(type='SegTTAModel')
