# ADE20K (150 classes) at 640: short side 640 at most 2560 long, scaled by 0.5 to 2.0, crops of 640.
_base_ = './ade20k.py'

crop_size = (640, 640)
image_scale = (2560, 640)
