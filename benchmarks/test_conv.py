"""Sums over channels and a window: ResNet-50, VGG-16, first layers, batches of 16, float64."""
FAMILIES = ("dense", "first", "batch", "f64")


def test_conv(run):
    run()
