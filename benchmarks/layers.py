"""The layers that are measured, for the files beside this one."""
from fastconv.cli.layers import Layer, named_layers, select

__all__ = ["Layer", "named_layers", "of_families", "select"]


def of_families(*families: str) -> tuple[Layer, ...]:
    """Layers whose first tag is one of the families."""
    return tuple(layer for layer in named_layers() if layer.family in families)
