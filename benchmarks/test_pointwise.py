"""1x1 kernels: ResNet-50, MobileNetV2, EfficientNet-B0."""
FAMILIES = ("pointwise",)


def test_pointwise(run):
    run()
