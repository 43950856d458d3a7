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

# Every run guards against losses that are not finite, looks at the first batch, shows its progress, draws curves
# and sample predictions, whatever stands here. This dict changes their arguments, or leaves one out with None:
#     training_hooks = dict(progress=dict(interval=10), sample_predictions=dict(count=8), curves=None)
training_hooks = dict()
# Hooks of your own.
custom_hooks = []

# What `--tta` wraps the model in; the scales and flips are the dataset's `tta_pipeline`.
tta_model = dict(type='SegTTAModel')
