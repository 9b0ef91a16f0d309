"""Signals and volumes: WaveNet, wav2vec 2.0, Whisper, C3D, 3-D U-Net, R(2+1)D."""
FAMILIES = ("1d", "3d")


def test_one_and_three_dimensional(run):
    run()
