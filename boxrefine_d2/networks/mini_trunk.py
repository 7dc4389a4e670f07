"""The small convolutional trunk that ships as `resnet_mini`."""

from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, ResNet
from torch import Tensor, nn


class MiniTrunk(nn.Module):
    """ResNet-18 up to res4, under the names of the trunk that ships: 256 channels, stride 16."""

    def __init__(self) -> None:
        super().__init__()
        stages = [
            ResNet.make_stage(
                BasicBlock,
                2,
                stride_per_block=[first_stride, 1],
                in_channels=inputs,
                out_channels=outputs,
                norm="BN",
            )
            for first_stride, inputs, outputs in ((1, 64, 64), (2, 64, 128), (2, 128, 256))
        ]
        trunk = ResNet(BasicStem(norm="BN"), stages, out_features=["res4"])
        for name, child in trunk.named_children():
            self.add_module(name, child)

    def forward(self, images: Tensor) -> Tensor:
        """Return the output of res4, (B, 256, h, w), for images (B, 3, H, W)."""
        for child in self.children():
            images = child(images)
        return images
