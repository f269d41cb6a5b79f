"""PyTorch's side of `cargo xtask bench-training`.

Answers each line of JSON on standard input with one on standard output, {"error": ...} where it cannot. The network
comes as the description that edgeslim's side gives of its own (`host/examples/training_side`), so both train the same.
"""

import json
import struct
import sys
import time

import torch
import torch.nn.functional as F

ACTIVATIONS = {
    "none": lambda x: x,
    "relu": lambda x: F.relu(x, inplace=True),
    "relu6": lambda x: F.relu6(x, inplace=True),
}


class Net(torch.nn.Module):
    """A graph whose parameters are stored at the widest; a subnet uses the first channels of each."""

    def __init__(self, description, dtype):
        super().__init__()
        graph = description["graph"]
        self.nodes, self.units = graph["nodes"], graph["units"]
        self.epsilon = description["bn_epsilon"]
        self.names = [param["name"] for param in description["params"]]
        self.values = torch.nn.ParameterList()
        for param in description["params"]:
            self.values.append(torch.nn.Parameter(initial(param, dtype)))
        named = dict(zip(self.names, self.values))
        kinds = ("weight", "gamma", "beta", "bias")
        self.params = [
            {kind: named[f"{node['name']}.{kind}"] for kind in kinds if f"{node['name']}.{kind}" in named}
            for node in self.nodes
        ]
        # Running mean and variance by node, of the channels that are evaluated.
        self.statistics = {}

    def forward(self, x, channels, statistics):
        """Logits of images (n, c, h, w).

        `statistics` is "batch", "collect" (of the batch, kept as running statistics) or "running".
        """
        outputs = []
        for node, params in zip(self.nodes, self.params):
            op = node["op"]
            if op == "Input":
                y = x
            elif "Conv" in op:
                y = self.conv(node, params, outputs, channels, statistics)
            elif "Add" in op:
                add = op["Add"]
                y = ACTIVATIONS[add["activation"]](outputs[add["a"]] + outputs[add["b"]])
            elif "Head" in op:
                pooled = outputs[op["Head"]["input"]].mean((2, 3))
                y = F.linear(pooled, params["weight"][:, : pooled.shape[1]], params["bias"])
            else:
                raise ValueError(f"node {node['name']}: PyTorch's side knows no operator {op}")
            outputs.append(y)
        return outputs[-1]

    def conv(self, node, params, outputs, channels, statistics):
        conv = node["op"]["Conv"]
        x, c_out = outputs[conv["input"]], sum(channels[unit] for unit in conv["units"])
        pad = conv["padding"]
        if (pad["top"], pad["left"]) != (pad["bottom"], pad["right"]):
            raise ValueError(f"node {node['name']}: PyTorch's side pads both ends of an axis alike")
        if conv["kind"] not in ("dense", "depthwise"):
            raise ValueError(f"node {node['name']}: PyTorch's side knows no convolution {conv['kind']}")
        is_depthwise = conv["kind"] == "depthwise"
        weight = params["weight"][:c_out]
        if not is_depthwise:
            weight = weight[:, : x.shape[1]]
        groups = c_out if is_depthwise else 1
        z = F.conv2d(x, weight, None, conv["stride"], (pad["top"], pad["left"]), 1, groups)
        gamma, beta = params["gamma"][:c_out], params["beta"][:c_out]
        if statistics == "running":
            mean, variance = self.statistics[node["name"]]
            y = F.batch_norm(z, mean, variance, gamma, beta, False, 0.0, self.epsilon)
        elif statistics == "collect":
            running = (z.new_zeros(c_out), z.new_ones(c_out))
            y = F.batch_norm(z, *running, gamma, beta, True, 1.0, self.epsilon)
            self.statistics[node["name"]] = running
        else:
            y = F.batch_norm(z, None, None, gamma, beta, True, 0.0, self.epsilon)
        return ACTIVATIONS[conv["activation"]](y)


def initial(param, dtype):
    shape = param["shape"]
    if param["name"].endswith(".gamma"):
        return torch.ones(shape, dtype=dtype)
    if len(shape) == 1:
        return torch.zeros(shape, dtype=dtype)
    fan_in = torch.Size(shape[1:]).numel()
    return torch.randn(shape, dtype=dtype) * (2.0 / fan_in) ** 0.5


def cross_entropy(logits, targets):
    return F.cross_entropy(logits, targets)


class Session:
    """One network in one memory format."""

    def __init__(self, request):
        torch.manual_seed(1)
        torch.set_num_threads(request["threads"])
        self.description = request["description"]
        self.format = getattr(torch, request["format"])
        self.net = Net(self.description, torch.float32).to(memory_format=self.format)
        self.widest = [unit["bins"][-1] for unit in self.description["graph"]["units"]]
        self.forward = self.net
        if request["compile"]:
            self.forward = torch.compile(self.net, dynamic=False)
        pairs = list(zip(self.description["params"], self.net.values))
        groups = [
            {
                "params": [value for param, value in pairs if param["decays"] == decays],
                "weight_decay": self.description["weight_decay"] if decays else 0.0,
            }
            for decays in (True, False)
        ]
        self.optimizer = torch.optim.SGD(
            groups,
            lr=self.description["learning_rate"],
            momentum=self.description["momentum"],
            nesterov=True,
            foreach=True,
        )
        self.images = self.labels = None
        self.is_calibrated = False

    def batch(self, n):
        if self.images is not None and len(self.images) == n:
            return
        graph = self.description["graph"]
        size = graph["input"]
        images = torch.rand(n, size["c"], size["h"], size["w"]) * 2 - 1
        self.images = images.contiguous(memory_format=self.format)
        self.labels = F.one_hot(torch.randint(graph["classes"], (n,)), graph["classes"]).float()

    def plain(self):
        self.optimizer.zero_grad(set_to_none=True)
        cross_entropy(self.forward(self.images, self.widest, "batch"), self.labels).backward()
        self.optimizer.step()

    def sandwich(self, narrower):
        self.optimizer.zero_grad(set_to_none=True)
        sandwich_backward(self.net, self.images, self.labels, [self.widest, *narrower], self.description)
        self.optimizer.step()

    @torch.inference_mode()
    def evaluate(self, channels):
        return self.forward(self.images, channels, "running")

    def run(self, request):
        """Milliseconds of each step."""
        self.batch(request["batch"])
        what, evaluated = request["what"], request["evaluated"]
        if what == "evaluate" and not self.is_calibrated:
            with torch.no_grad():
                self.net(self.images, evaluated, "collect")
            self.is_calibrated = True
        ms = []
        for narrower in request["steps"]:
            start = time.perf_counter()
            if what == "plain":
                self.plain()
            elif what == "sandwich":
                self.sandwich(narrower)
            else:
                self.evaluate(evaluated)
            ms.append((time.perf_counter() - start) * 1e3)
        return ms


def sandwich_backward(net, images, labels, subnets, description):
    """Adds the gradients of all subnets; returns the loss of the first, the widest."""
    scale = description["sandwich_gradient_scale"]
    logits = net(images, subnets[0], "batch")
    targets = torch.softmax(logits.detach(), 1)
    loss = cross_entropy(logits, labels)
    (loss * scale).backward()
    for channels in subnets[1:]:
        (cross_entropy(net(images, channels, "batch"), targets) * scale).backward()
    return loss.detach()


def read_safetensors(path):
    with open(path, "rb") as file:
        data = bytearray(file.read())
    (header_bytes,) = struct.unpack("<Q", data[:8])
    header, start = json.loads(data[8 : 8 + header_bytes]), 8 + header_bytes
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        if info["dtype"] != "F32":
            raise ValueError(f"{path}: {name} is {info['dtype']}, not F32")
        count = torch.Size(info["shape"]).numel()
        flat = torch.frombuffer(data, dtype=torch.float32, count=count, offset=start + info["data_offsets"][0])
        tensors[name] = flat.reshape(info["shape"]).double()
    return tensors


def relative(got, wanted):
    return ((got - wanted).norm() / wanted.norm().clamp_min(1e-300)).item()


def check(request):
    """Repeats in float64 what edgeslim exported; returns relative differences.

    Of gradients it is the largest over the tensors: the norm of the difference over the norm of the tensor, or over a
    thousandth of the norm of all gradients where that is more.
    """
    description, tensors = request["description"], read_safetensors(request["path"])
    net = Net(description, torch.float64)
    for name, value in zip(net.names, net.values):
        value.data.copy_(tensors[f"param/{name}"])
    images, labels = tensors["images"].permute(0, 3, 1, 2), tensors["labels"]
    widest = [unit["bins"][-1] for unit in description["graph"]["units"]]
    differences = {}

    def compare(what, loss):
        whole = torch.stack([value.grad.norm() for value in net.values]).norm().item()
        worst = 0.0
        for name, value in zip(net.names, net.values):
            scale = max(value.grad.norm().item(), 1e-3 * whole)
            worst = max(worst, (tensors[f"{what}/{name}"] - value.grad).norm().item() / scale)
            value.grad = None
        differences[f"{what}_gradient"] = worst
        differences[f"{what}_loss"] = relative(tensors[f"{what}_loss"][0], loss)

    loss = cross_entropy(net(images, widest, "batch"), labels)
    loss.backward()
    compare("plain", loss.detach())
    subnets = [widest, *request["step"]]
    compare("sandwich", sandwich_backward(net, images, labels, subnets, description))
    with torch.no_grad():
        net(images, request["evaluated"], "collect")
        worst = 0.0
        for name, (mean, variance) in net.statistics.items():
            # A mean is as exact as the values that it is of.
            scale = variance.sqrt().norm().item()
            worst = max(worst, (tensors[f"statistics/{name}/mean"] - mean).norm().item() / scale)
            worst = max(worst, relative(tensors[f"statistics/{name}/variance"], variance))
        differences["evaluate_statistics"] = worst
        logits = net(images, request["evaluated"], "running")
        differences["evaluate_logits"] = relative(tensors["logits"], logits)
    return differences


def peak_bytes():
    """VmHWM of Linux."""
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def answer(request, session):
    """The answer, and the session that is open from now on."""
    kind = request["request"]
    if kind == "open":
        session = Session(request)
        return {}, session
    if kind == "run":
        return {"ms": session.run(request)}, session
    if kind == "check":
        return {"differences": check(request)}, session
    if kind == "memory":
        return {"peak_bytes": peak_bytes()}, session
    if kind == "hello":
        capability = torch.backends.cpu.get_cpu_capability()
        return {"torch": torch.__version__, "capability": capability}, session
    raise ValueError(f"no request is called {kind}")


def main():
    session = None
    # Whatever PyTorch prints goes to standard error; standard output carries answers only.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        try:
            reply, session = answer(json.loads(line), session)
        except Exception as error:  # the other side decides whether to go on
            first_line = (str(error).splitlines() or [""])[0]
            reply = {"error": f"{type(error).__name__}: {first_line}"}
        print(json.dumps(reply), file=answers, flush=True)


main()
