# A network of timm + UPerNet with an auxiliary FCN head (pip install 'swinseg[timm]'). A leaf names the network,
# and sets in_channels of both heads to the channels of its maps:
#     python -c "from swinseg.models import TimmBackbone; print(TimmBackbone('convnext_tiny').feature_info)"
# A plain Vision Transformer, whose maps have one stride, has upernet_timm_vit.py.
_base_ = './upernet_swin.py'

model = dict(
    backbone=dict(
        _delete_=True, type='TimmBackbone', model_name='convnext_tiny', drop_path_rate=0.4
    ),
)
