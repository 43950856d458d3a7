"""Int8: calibration on images of the training set, a quantizer for each runtime, and which layers stay in float.

Int8 are the convolutions and the products with weights, nothing else: attention's scores, masks, norms and the
matrices that upsample stay in float.
"""
