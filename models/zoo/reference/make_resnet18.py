"""Write resnet18.json, the outputs that a converted ResNet18 must reproduce.

Run by hand, once, with PyTorch installed (2.15 was used, on CPU):

    python make_resnet18.py 2025_resnet_imagenet_1k_pretrained_state_dict.pkl > resnet18.json

Independent of zoo/resnet18.rs as make_reference.py is of zoo/lite0.rs: batch
normalisation is applied as such, in float64. Input, samples and their layout
are those of make_reference.py. Outputs are taken before the activation. The file of weights is a pickle of a state
dictionary; here PyTorch itself reads it, with nothing but its own functions.
"""

import json
import pickle
import sys

import torch
from torch.nn import functional as F

from make_reference import HEIGHT, WIDTH, formula, sampled


class Restricted(pickle.Unpickler):
    def find_class(self, module, name):
        assert module in ("collections", "torch._utils", "torch.storage"), (module, name)
        return super().find_class(module, name)


def main():
    with open(sys.argv[1], "rb") as file:
        weights = Restricted(file).load()
    weights = {name: tensor.double() for name, tensor in weights.items()}
    with torch.no_grad():
        x = formula(HEIGHT, WIDTH)
        checksum = x.sum().item()
        outputs = {}
        x = conv_bn(weights, x, "conv1", "bn1", 2, 3)
        outputs["stride2"] = sampled(x[0])
        x = F.max_pool2d(F.relu(x), 3, 2, 1)
        for layer in range(1, 5):
            for block in range(2):
                x = F.relu(x) if block else x
                x = basic_block(weights, x, f"layer{layer}.{block}.", 2 if layer > 1 and block == 0 else 1)
            if layer <= 2:
                outputs[f"stride{2 << layer}"] = sampled(x[0])
            x = F.relu(x)
        logits = F.linear(x.mean((2, 3)), weights["fc.weight"], weights["fc.bias"])
    print(f"highest logit: class {logits.argmax().item()} of {logits.shape[1]}", file=sys.stderr)
    reference = {"height": HEIGHT, "width": WIDTH, "input_sum": checksum, "outputs": outputs}
    print(json.dumps(reference, separators=(",", ":")))


def basic_block(weights, x, prefix, stride):
    before = x
    x = F.relu(conv_bn(weights, x, prefix + "conv1", prefix + "bn1", stride, 1))
    x = conv_bn(weights, x, prefix + "conv2", prefix + "bn2", 1, 1)
    if prefix + "downsample.0.weight" in weights:
        before = conv_bn(weights, before, prefix + "downsample.0", prefix + "downsample.1", stride, 0)
    return x + before


def conv_bn(weights, x, conv, bn, stride, padding):
    x = F.conv2d(x, weights[conv + ".weight"], stride=stride, padding=padding)
    state = [weights[f"{bn}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(x, *state, eps=1e-5)


if __name__ == "__main__":
    main()
