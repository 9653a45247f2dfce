"""Score a model's golden tiles in plain Python, without anything of Selvedge.

    python score.py MODEL.onnx OUT_FOLDER

Needs numpy and onnxruntime. Everything comes out of the file itself: the network, and in its
metadata the golden tiles with the scores that they must give. Writes to OUT_FOLDER, as
little-endian float32 without a header: pixels.f32 [n, planes, h, w], features.f32 [n, k, h/4, w/4],
score.f32 [n, h/4, w/4]; and prints one JSON object: their shapes, and the largest difference of a
score from what the metadata says.
"""

import json
import sys
from pathlib import Path

import numpy
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
metadata = session.get_modelmeta().custom_metadata_map
golden = json.loads(metadata["selvedge.golden"])
passport = json.loads(metadata["selvedge.passport"])

SIDE = 128
pixels = []
for tile in golden:
    levels = numpy.frombuffer(bytes.fromhex(tile["pixels"]), numpy.uint8)
    # 120 is the cloth's usual brightness, 1.0 for the network.
    pixels.append(levels.reshape(tile["planes"], SIDE, SIDE).astype(numpy.float32) / numpy.float32(120))
pixels = numpy.stack(pixels)
features, score = session.run(["features", "score"], {"pixels": pixels})

expected = numpy.array([tile["scores"] for tile in golden], numpy.float32).reshape(score.shape)
out = Path(sys.argv[2])
for name, values in [("pixels", pixels), ("features", features), ("score", score)]:
    values.astype("<f4").tofile(out / f"{name}.f32")
print(
    json.dumps(
        {
            "mode": passport["backbone"]["mode"],
            "pixels": pixels.shape,
            "features": features.shape,
            "score": score.shape,
            "largest_difference": float(numpy.abs(score - expected).max()),
            "outputs": [output.name for output in session.get_outputs()],
            "runtime": onnxruntime.__version__,
        }
    )
)
