"""Networks as ONNX, run by ONNX Runtime: collected where that is installed."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from export_cases import CASES, assert_close, case_id, samples, trained

import fastxor as fx


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_onnx_runtime_computes_the_same(tmp_path, case):
    run = trained(case)
    run.export(tmp_path / "run.onnx")
    program = session(tmp_path / "run.onnx")
    for m in (1, 33):
        X = samples(run, max(m, 3))[:, :m]
        (A,) = program.run(["A"], {"X": np.ascontiguousarray(X.T)})
        tolerance = 1e5 if case.activation == "gelu" else 1.0  # whose function is there for float32 alone
        assert_close(A.T, run, X, tolerance if case.dtype == np.float64 else 1.0)


def test_rows_are_samples_and_there_may_be_any_number_of_them(tmp_path):
    net = fx.Network([3, 4, 2], "relu", "softmax")
    fx.export(net, tmp_path / "net.onnx", parameters=net.initialize(0))
    program = session(tmp_path / "net.onnx")
    (X,), (A,) = program.get_inputs(), program.get_outputs()
    assert (X.name, X.shape, X.type) == ("X", ["samples", 3], "tensor(double)")
    assert (A.name, A.shape, A.type) == ("A", ["samples", 2], "tensor(double)")


def test_it_says_what_it_is(tmp_path):
    net = fx.Network([3, 4, 4, 2], ["gelu", "sin"], "identity", "huber")
    fx.export(net, tmp_path / "net.onnx", parameters=net.initialize(0))
    model = onnx.load(tmp_path / "net.onnx")
    assert model.producer_name == "fastxor"
    words = {entry.key: entry.value for entry in model.metadata_props}
    assert fx.Network(json.loads(words["sizes"]), json.loads(words["hidden"]), words["output"], words["loss"]) == net
    arrays = {array.name: onnx.numpy_helper.to_array(array) for array in model.graph.initializer}
    for name, array in net.initialize(0).items():
        np.testing.assert_array_equal(arrays[name].reshape(array.shape), array)
