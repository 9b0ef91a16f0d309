"""ResNeXt and ShuffleNet, which have groups; DeepLab, whose kernels have gaps."""
FAMILIES = ("grouped", "dilated")


def test_grouped_dilated(run):
    run()
