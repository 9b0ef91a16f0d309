"""Every channel with its own kernel, 3x3 to 31x31: MobileNetV2, EfficientNet-B0, ConvNeXt, RepLKNet."""
FAMILIES = ("depthwise",)


def test_depthwise(run):
    run()
