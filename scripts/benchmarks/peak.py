"""Measures the machine's fastest matrix products, and what share of them each network reaches.

    scripts/bench peak [--rounds N] [--json]

The product of two matrices of SIDE x SIDE takes 2 * SIDE^3 operations. It is computed by NumPy and by OpenVINO, which
also computes it in int8, as the network int8 does. A network's operations are those of its convolutions and
matrix products, by the shapes of its file; an addition and a multiplication count as two. It runs as `facerec` runs it,
in batches of the size that is named, several at a time. Its share is of the faster product in the same precision.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scripts.benchmarks.common import ROOT, add_rounds, say, text_table

SIDE = 2048
AT_ONCE = 8  # inputs that a network is given in a round
WEIGHTS = ROOT / "facerec" / "weights"
CASCADE = ROOT / "facerec" / "faces" / "weights"
NETWORKS: dict[str, tuple[Path, tuple[int, ...], str]] = {  # file, shape of the input, precision
    "default": (WEIGHTS / "fp32.xml", (8, 3, 112, 112), "fp32"),
    "int8": (WEIGHTS / "int8.xml", (8, 3, 112, 112), "int8"),
    "MTCNN's first": (CASCADE / "pnet.xml", (1, 256, 256, 4), "fp32"),
    "MTCNN's second": (CASCADE / "rnet.xml", (64, 24, 24, 4), "fp32"),
    "MTCNN's third": (CASCADE / "onet.xml", (64, 48, 48, 4), "fp32"),
}

Work = Callable[[], object]


def numpy_product() -> Work:
    """The product by NumPy."""
    a, b = np.random.default_rng(0).normal(size=(2, SIDE, SIDE)).astype(np.float32)
    return lambda: a @ b


def openvino_product(int8: bool) -> Work:
    """The product by OpenVINO. int8: of numbers from 0 to 255 by such from -127 to 127, as in the network int8."""
    from openvino import Core, Model, opset13  # pyright: ignore[reportPrivateImportUsage]

    a, b = np.random.default_rng(0).normal(size=(2, SIDE, SIDE)).astype(np.float32)
    given = opset13.parameter([SIDE, SIDE], np.float32)
    factors = [given, opset13.constant(b)]
    if int8:
        factors = [
            opset13.fake_quantize(factor, *map(np.float32, ends * 2), levels=levels)
            for factor, ends, levels in zip(factors, ((0, 8), (-4, 4)), (256, 255), strict=True)
        ]
    model: Any = Model([opset13.matmul(*factors, False, True)], [given])  # pyright: ignore[reportGeneralTypeIssues]
    network = Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda: network(a)


def operations(path: Path, shape: tuple[int, ...]) -> int:
    """How many operations a network's convolutions and matrix products take for an input of this shape."""
    from openvino import Core

    model = Core().read_model(path)
    model.reshape(list(shape))
    return sum(operations_of(node) for node in model.get_ordered_ops())


def operations_of(node: Any) -> int:
    """Those of one node; 0 for what is neither a convolution nor a matrix product."""
    kind = node.get_type_name()
    if kind not in ("Convolution", "GroupConvolution", "MatMul"):
        return 0
    outputs, factor = int(np.prod(node.output(0).get_shape())), list(node.input(1).get_shape())
    if kind == "MatMul":
        return 2 * outputs * list(node.input(0).get_shape())[-2 if node.get_attributes()["transpose_a"] else -1]
    return 2 * outputs * int(np.prod(factor[2 if kind == "GroupConvolution" else 1 :]))


def network_run(path: Path, shape: tuple[int, ...], small: bool) -> Work:
    """A network with AT_ONCE inputs. small: one of the detector's, see `compile_network`."""
    from facerec.models.compiled import Requests, compile_network

    files = [path.with_suffix(ending).read_bytes() for ending in (".xml", ".bin")]
    requests = Requests(compile_network(*files, shape=shape, streams=0 if small else 2))
    inputs = [np.random.default_rng(0).normal(size=shape).astype(np.float32)] * AT_ONCE
    return lambda: requests.run(inputs)


def rate(work: Work, count: float, rounds: int) -> float:
    """The 10^9 operations a second of work of `count` operations: the fastest of some rounds, after one to warm up."""
    work()
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return count / min(seconds) / 1e9


# ------------------------------------------------------------------------------------------ the bench


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    add_rounds(parser, 10)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the products, then every network."""
    products = {"numpy": numpy_product(), "fp32": openvino_product(False), "int8": openvino_product(True)}
    peaks = {name: rate(work, 2 * SIDE**3, options.rounds) for name, work in products.items()}
    say(f"products: {peaks}")
    networks = []
    for name, (path, shape, precision) in NETWORKS.items():
        count = operations(path, shape)
        reached = rate(network_run(path, shape, path.parent == CASCADE), AT_ONCE * count, options.rounds)
        share = reached / (peaks["int8"] if precision == "int8" else max(peaks["fp32"], peaks["numpy"]))
        networks.append(
            {"network": name, "input": shape, "gflop": count / 1e9, "gflops": reached, "of": precision, "share": share}
        )
    return {"side": SIDE, "products_gflops": peaks, "networks": networks}


def table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    names = {"numpy": "NumPy, fp32", "fp32": "OpenVINO, fp32", "int8": "OpenVINO, int8"}
    products = [(names[name], f"{reached:.0f}") for name, reached in figures["products_gflops"].items()]
    networks = [
        (row["network"], row["input"], f"{row['gflop']:.2f}", f"{row['gflops']:.0f}", f"{row['share']:.2f} {row['of']}")
        for row in figures["networks"]
    ]
    return "\n".join(
        [
            text_table((f"{SIDE} x {SIDE}", "GFLOP/s"), products),
            text_table(("network", "input", "GFLOP", "GFLOP/s", "share"), networks),
        ]
    )
