"""Write lite0.json, the outputs that a converted EfficientNet-Lite0 must reproduce.

Run by hand, once, with PyTorch installed (2.15 was used, on CPU):

    python make_reference.py efficientnet-lite0-57934424.pth > lite0.json

The network is written here a second time, independently of zoo/lite0.rs: batch
normalisation is applied as such instead of being folded into the convolutions,
and padding is computed from the sizes, as TensorFlow's SAME does, instead of
being written into the graph. Arithmetic is in float64, so that the reference is
nearer to the truth than either float32 program that is compared with it.

The input is no image but a formula, computed in integers so that every language
gets the same numbers: with channel c, row y, column x

    input[c][y][x] = ((7919 * c + 104729 * y + 1299709 * x + 15485863 * (y * x)) mod 256 - 127) / 128

From each output of n elements, PER_STRIDE are kept, at the flat indices
i * (n - 1) // (PER_STRIDE - 1), row-major over [channel, row, column]: every
channel and every region, borders included, is sampled. Each channel's
standard deviation over the whole output is kept too: differences are judged
against it.
"""

import json
import sys

import torch
from torch.nn import functional as F

HEIGHT, WIDTH = 64, 96
PER_STRIDE = 600

# Kernel and stride of each block; channel counts come with the weights.
BLOCKS = [
    (3, 1),
    (3, 2), (3, 1),
    (5, 2), (5, 1),
    (3, 2), (3, 1), (3, 1),
    (5, 1), (5, 1), (5, 1),
    (5, 2), (5, 1), (5, 1), (5, 1),
    (3, 1),
]  # fmt: skip
# The last block at each resolution that Selvedge uses.
OUTPUTS = {"stride2": 0, "stride4": 2, "stride8": 4, "stride16": 10}


def main():
    weights = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
    weights = {name: tensor.double() for name, tensor in weights.items()}
    with torch.no_grad():
        x = formula(HEIGHT, WIDTH)
        checksum = x.sum().item()
        x = F.relu6(conv_bn(weights, x, "_conv_stem", "_bn0", 2))
        after = []
        for index, (kernel, stride) in enumerate(BLOCKS):
            x = block(weights, x, f"_blocks.{index}.", kernel, stride)
            after.append(x)
        x = F.relu6(conv_bn(weights, x, "_conv_head", "_bn1", 1))
        logits = F.linear(x.mean((2, 3)), weights["_fc.weight"], weights["_fc.bias"])
    print(f"highest logit: class {logits.argmax().item()} of {logits.shape[1]}", file=sys.stderr)
    outputs = {name: sampled(after[index][0]) for name, index in OUTPUTS.items()}
    reference = {"height": HEIGHT, "width": WIDTH, "input_sum": checksum, "outputs": outputs}
    print(json.dumps(reference, separators=(",", ":")))


def formula(height, width):
    c = torch.arange(3).view(3, 1, 1)
    y = torch.arange(height).view(1, height, 1)
    x = torch.arange(width).view(1, 1, width)
    mixed = 7919 * c + 104729 * y + 1299709 * x + 15485863 * (y * x)
    return ((mixed % 256 - 127).double() / 128).unsqueeze(0)


def block(weights, x, prefix, kernel, stride):
    before = x
    if prefix + "_expand_conv.weight" in weights:
        x = F.relu6(conv_bn(weights, x, prefix + "_expand_conv", prefix + "_bn0", 1))
    assert weights[prefix + "_depthwise_conv.weight"].shape[-1] == kernel
    x = F.relu6(conv_bn(weights, x, prefix + "_depthwise_conv", prefix + "_bn1", stride))
    x = conv_bn(weights, x, prefix + "_project_conv", prefix + "_bn2", 1)
    return x + before if x.shape == before.shape else x


def conv_bn(weights, x, conv, bn, stride):
    kernels = weights[conv + ".weight"]
    kernel = kernels.shape[-1]
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    group = x.shape[1] if kernels.shape[1] == 1 else 1
    x = F.conv2d(F.pad(x, pads), kernels, stride=stride, groups=group)
    state = [weights[f"{bn}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(x, *state, eps=1e-3)


def sampled(output):
    flat = output.flatten()
    indices = [i * (flat.numel() - 1) // (PER_STRIDE - 1) for i in range(PER_STRIDE)]
    return {
        "shape": list(output.shape),
        "values": [float(f"{flat[i].item():.7g}") for i in indices],
        "channel_std": [float(f"{std:.4g}") for std in output.std((1, 2)).tolist()],
    }


if __name__ == "__main__":
    main()
