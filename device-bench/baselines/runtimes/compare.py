"""Runs quantised models in LiteRT and onnxruntime and compares every byte with edgeslim's kernels.

Reads the JSON of `runtime_models` (tests/examples), prints how far each runtime is off in steps of the output (LSB).
`cargo xtask compare-runtimes` installs what it needs and calls it.
"""

import argparse
import collections
import json

import flatbuffers
import numpy as np
import onnx
import onnxruntime
from ai_edge_litert import schema_py_generated as tfl
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from onnx import TensorProto, helper

# Of `OpResolverType`: what a name in the table means.
LITERT = {
    "LiteRT, reference": OpResolverType.BUILTIN_REF,
    "LiteRT, optimised": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "LiteRT, XNNPACK": OpResolverType.AUTO,
}
ONNXRUNTIME = "onnxruntime"
DENSE = ("conv", "depthwise", "linear")


def weights_of(layer, c_in, c_out):
    """`[c_out, h, w, c_in]`, of a depthwise layer `[1, h, w, c]`."""
    (h, w), values = layer["kernel"], np.array(layer["weights"], np.int8)
    if layer["op"] == "depthwise":
        return values.reshape(1, h, w, c_in)
    if layer["op"] == "linear":
        return values.reshape(c_out, 1, 1, c_in)
    return values.reshape(c_out, h, w, c_in)


def same_padding(layer, shape):
    """TensorFlow's SAME: top, bottom, left, right."""
    around = []
    for size, kernel in zip(shape[1:3], layer["kernel"]):
        pad = max((-(-size // layer["stride"]) - 1) * layer["stride"] + kernel - size, 0)
        around += [pad // 2, pad - pad // 2]
    return around


class LiteRt:
    """A file of LiteRT, written operator by operator."""

    def __init__(self, model):
        self.model = model
        self.codes, self.buffers = [], [tfl.BufferT()]
        self.graph = tfl.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.tensors = [self.tensor(t["shape"], tfl.TensorType.INT8, [t["scale"]], [t["zero"]]) for t in model["tensors"]]
        for layer in model["layers"]:
            self.layer(layer)
        n_inputs = len(model["runs"][0]["inputs"])
        self.graph.inputs = self.tensors[:n_inputs]
        self.graph.outputs = [self.tensors[model["layers"][-1]["output"]]]

    def tensor(self, shape, kind, scales=None, zeros=None, data=None, dimension=0):
        tensor = tfl.TensorT()
        tensor.shape, tensor.type, tensor.name = list(shape), kind, f"t{len(self.graph.tensors)}"
        if scales is not None:
            tensor.quantization = tfl.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = scales, zeros
            tensor.quantization.quantizedDimension = dimension
        if data is not None:
            buffer = tfl.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.buffers.append(buffer)
            tensor.buffer = len(self.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, name, inputs, output, options=None):
        builtin = getattr(tfl.BuiltinOperator, name)
        if builtin not in [code.builtinCode for code in self.codes]:
            code = tfl.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode = builtin, min(builtin, 127)
            # Versions that know int8 with scales per channel.
            code.version = {"FULLY_CONNECTED": 12}.get(name, 3 if name in ("CONV_2D", "DEPTHWISE_CONV_2D") else 2)
            self.codes.append(code)
        operator = tfl.OperatorT()
        operator.opcodeIndex = [code.builtinCode for code in self.codes].index(builtin)
        operator.inputs, operator.outputs = inputs, [output]
        if options is not None:
            operator.builtinOptions = options
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(tfl.BuiltinOptions, kind)
        self.graph.operators.append(operator)

    def padded(self, layer, tensor):
        """The tensor to read and the padding that is left to the operator."""
        given = self.model["tensors"][tensor]
        top, bottom, left, right = layer["padding"]
        if not any(layer["padding"]):
            return self.tensors[tensor], tfl.Padding.VALID
        if layer["padding"] == same_padding(layer, given["shape"]):
            return self.tensors[tensor], tfl.Padding.SAME
        around = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        shape = [size + sum(pad) for size, pad in zip(given["shape"], around)]
        sizes = self.tensor([4, 2], tfl.TensorType.INT32, data=around)
        output = self.tensor(shape, tfl.TensorType.INT8, [given["scale"]], [given["zero"]])
        self.operator("PAD", [self.tensors[tensor], sizes], output, tfl.PadOptionsT())
        return output, tfl.Padding.VALID

    def layer(self, layer):
        given, made = (self.model["tensors"][layer[end]] for end in ("first", "output"))
        c_in, c_out = given["shape"][3], made["shape"][3]
        output = self.tensors[layer["output"]]
        activation = activation_of(layer, made)
        if layer["op"] == "add":
            options = tfl.AddOptionsT()
            options.fusedActivationFunction = activation
            self.operator("ADD", [self.tensors[i] for i in layer["inputs"]], output, options)
            return
        source, padding = self.padded(layer, layer["inputs"][0])
        if layer["op"] in ("avg_pool", "max_pool"):
            options = tfl.Pool2DOptionsT()
            options.filterHeight, options.filterWidth = layer["kernel"]
            name, inputs = layer["op"].replace("avg", "average").upper() + "_2D", [source]
        else:
            weights, scales = weights_of(layer, c_in, c_out), layer["weight_scales"]
            if layer["op"] == "linear":
                weights = weights.reshape(c_out, c_in)
            dimension = 3 if layer["op"] == "depthwise" else 0
            kernel = self.tensor(weights.shape, tfl.TensorType.INT8, scales, [0] * c_out, weights, dimension)
            of_bias = [float(np.float32(given["scale"]) * np.float32(s)) for s in scales]
            bias = np.array(layer["bias"], np.int32)
            bias = self.tensor([c_out], tfl.TensorType.INT32, of_bias, [0] * c_out, bias)
            inputs = [source, kernel, bias]
            name = {"conv": "CONV_2D", "depthwise": "DEPTHWISE_CONV_2D", "linear": "FULLY_CONNECTED"}[layer["op"]]
            if layer["op"] == "linear":
                options = tfl.FullyConnectedOptionsT()
                options.keepNumDims, options.fusedActivationFunction = True, activation
                self.operator(name, inputs, output, options)
                return
            options = tfl.Conv2DOptionsT() if layer["op"] == "conv" else tfl.DepthwiseConv2DOptionsT()
            if layer["op"] == "depthwise":
                options.depthMultiplier = 1
        options.padding, options.fusedActivationFunction = padding, activation
        options.strideH = options.strideW = layer["stride"]
        self.operator(name, inputs, output, options)

    def bytes(self):
        model = tfl.ModelT()
        model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, self.codes, [self.graph], self.buffers
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def activation_of(layer, made):
    low, high = layer["clamp"]
    if (low, high) == (-128, 127):
        return tfl.ActivationFunctionType.NONE
    assert low == made["zero"], "neither no activation nor a ReLU"
    return tfl.ActivationFunctionType.RELU if high == 127 else tfl.ActivationFunctionType.RELU6


def run_litert(model, content, resolver):
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver, num_threads=1)
    interpreter.allocate_tensors()
    for run in model["runs"]:
        for detail, values in zip(interpreter.get_input_details(), run["inputs"]):
            interpreter.set_tensor(detail["index"], np.array(values, np.int8).reshape(detail["shape"]))
        interpreter.invoke()
        yield interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).reshape(-1)


def onnx_model(model):
    """A graph of QLinear operators in NCHW; activations are a Clip behind their operator."""
    nodes, constants = [], []

    def constant(values, kind, shape):
        name = f"c{len(constants)}"
        constants.append(helper.make_tensor(name, kind, shape, np.asarray(values).reshape(-1).tolist()))
        return name

    def quant(tensor):
        return [constant([tensor["scale"]], TensorProto.FLOAT, []), constant([tensor["zero"]], TensorProto.INT8, [])]

    def value(i):
        n, h, w, c = model["tensors"][i]["shape"]
        return helper.make_tensor_value_info(f"t{i}", TensorProto.INT8, [n, c, h, w])

    for layer in model["layers"]:
        given, made = (model["tensors"][layer[end]] for end in ("first", "output"))
        c_in, c_out = given["shape"][3], made["shape"][3]
        clips = layer["clamp"] != [-128, 127]
        target = f"t{layer['output']}"
        output = target + "_sums" if clips else target
        names = [f"t{i}" for i in layer["inputs"]]
        top, bottom, left, right = layer["padding"]
        window = dict(strides=[layer["stride"]] * 2, pads=[top, left, bottom, right])
        if layer["op"] == "add":
            second = model["tensors"][layer["inputs"][1]]
            inputs = [names[0], *quant(given), names[1], *quant(second), *quant(made)]
            nodes.append(helper.make_node("QLinearAdd", inputs, [output], domain="com.microsoft"))
        elif layer["op"] == "max_pool":
            nodes.append(helper.make_node("MaxPool", names, [output], kernel_shape=layer["kernel"], **window))
        elif layer["op"] == "avg_pool":
            assert layer["kernel"] == given["shape"][1:3], "only global pools"
            inputs = [names[0], *quant(given), *quant(made)]
            nodes.append(helper.make_node("QLinearGlobalAveragePool", inputs, [output], domain="com.microsoft"))
        else:
            weights = weights_of(layer, c_in, c_out)
            order = (3, 0, 1, 2) if layer["op"] == "depthwise" else (0, 3, 1, 2)
            weights = weights.transpose(order)
            inputs = [
                names[0],
                *quant(given),
                constant(weights, TensorProto.INT8, weights.shape),
                constant(layer["weight_scales"], TensorProto.FLOAT, [c_out]),
                constant([0] * c_out, TensorProto.INT8, [c_out]),
                *quant(made),
                constant(layer["bias"], TensorProto.INT32, [c_out]),
            ]
            group = c_in if layer["op"] == "depthwise" else 1
            kernel = [1, 1] if layer["op"] == "linear" else layer["kernel"]
            nodes.append(helper.make_node("QLinearConv", inputs, [output], kernel_shape=kernel, group=group, **window))
        if clips:
            low, high = (constant([bound], TensorProto.INT8, []) for bound in layer["clamp"])
            nodes.append(helper.make_node("Clip", [output, low, high], [target]))
    inputs = [value(i) for i in range(len(model["runs"][0]["inputs"]))]
    graph = helper.make_graph(nodes, "model", inputs, [value(model["layers"][-1]["output"])], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(graph, opset_imports=opsets)
    made.ir_version = 8
    return made.SerializeToString()


def run_onnx(model, content):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    for run in model["runs"]:
        feeds = {}
        for i, values in enumerate(run["inputs"]):
            shape = model["tensors"][i]["shape"]
            feeds[f"t{i}"] = np.array(values, np.int8).reshape(shape).transpose(0, 3, 1, 2)
        yield session.run(None, feeds)[0].transpose(0, 2, 3, 1).reshape(-1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", help="the JSON file of runtime_models")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    arguments = parser.parse_args()
    with open(arguments.models) as file:
        models = json.load(file)
    counts = collections.defaultdict(collections.Counter)
    for model in models:
        for layer in model["layers"]:
            layer["first"] = layer["inputs"][0]
        content = LiteRt(model).bytes()
        runs = {name: run_litert(model, content, resolver) for name, resolver in LITERT.items()}
        runs[ONNXRUNTIME] = run_onnx(model, onnx_model(model))
        for runtime, outputs in runs.items():
            for run, output in zip(model["runs"], outputs):
                ours = np.array(run["output"], np.int64)
                assert output.shape == ours.shape, (runtime, model["kind"])
                differences, n = np.unique(output.astype(np.int64) - ours, return_counts=True)
                counts[model["kind"], runtime].update(dict(zip(differences.tolist(), n.tolist())))
    rows = []
    for (kind, runtime), found in counts.items():
        total, worst = sum(found.values()), max(abs(d) for d in found)
        beyond = sum(n for d, n in found.items() if abs(d) > 1)
        rows.append(
            {
                "what": kind,
                "runtime": runtime,
                "values": total,
                "equal": found[0] / total,
                "one_less": found[-1] / total,
                "one_more": found[1] / total,
                "beyond": beyond / total,
                "worst": worst,
            }
        )
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    print("| what | runtime | values | equal | 1 less | 1 more | beyond | worst |\n|---|---|---|---|---|---|---|---|")
    for row in rows:
        shares = [f"{100 * row[key]:.3f} %" for key in ("equal", "one_less", "one_more", "beyond")]
        print(f"| {row['what']} | {row['runtime']} | {row['values']} | {' | '.join(shares)} | {row['worst']} |")


if __name__ == "__main__":
    main()
