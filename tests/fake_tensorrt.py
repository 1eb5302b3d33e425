"""TensorRT without TensorRT: what `tensorrt` looks like in a given version, computing with ONNX
Runtime. `make` leaves out every class and member that version's real bindings lack, as recorded in
tensorrt_api/surface.json: code that passes here asks nothing of TensorRT that is not there.
"""

from __future__ import annotations

import enum
import json
import sys
import time
import types
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto

SURFACES = json.loads((Path(__file__).parent / "tensorrt_api" / "surface.json").read_text())
FULL = {s["version"]: s for s in SURFACES if "lean" not in s["wheel"]}
VERSIONS = sorted(FULL, key=lambda version: [int(n) for n in version.split(".")])
MAGIC = b"fake plan "
ENUMS = (
    *("BuilderFlag", "DataType", "LayerType", "MemoryPoolType", "NetworkDefinitionCreationFlag"),
    "TensorIOMode",
)
ALIASES = {"float32": "FLOAT", "float16": "HALF", "uint8": "UINT8", "int8": "INT8"}


def install(monkeypatch, cuda, version):
    """Make `import tensorrt` give that version, on that GPU."""
    module = make(cuda, version)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


def plan(model, shapes):
    """An engine: the batches' shapes (fewest, tuned for, most) and the serialised ONNX model."""
    return MAGIC + json.dumps(shapes).encode() + b"\n" + model


def make(cuda, version):
    """The module. What tests look at and turn: `built` lists what was asked of the builder, build
    by build; `fail_build` is an error that stops it, `tamper` changes the logits of engines."""
    surface = FULL[version]["classes"]
    trt = types.ModuleType("tensorrt")
    trt.__version__, trt.built, trt.fail_build, trt.tamper = version, [], None, None
    trt.steps, trt.step_seconds = 3, 0.0
    for name in ENUMS:
        setattr(trt, name, enumeration(name, surface[name]))
    for alias, member in ALIASES.items():
        setattr(trt, alias, getattr(trt.DataType, member))
    for kind in classes(trt, cuda, version):
        setattr(trt, kind.__name__, kind)
        for member in [name for name in vars(kind) if not name.startswith("_")]:
            if kind.__name__ in surface and member not in surface[kind.__name__]:
                delattr(kind, member)
        if kind.__name__ not in surface:
            delattr(trt, kind.__name__)
    return trt


def enumeration(name, members):
    """An enumeration with the recorded members."""
    real = [member for member in members if member.isupper()]
    return enum.IntEnum(name, {member: index for index, member in enumerate(real)})


class Strict:
    """Refuses attributes that its class does not have, as compiled classes do."""

    def __setattr__(self, name, value):
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        object.__setattr__(self, name, value)


class Taken(Strict):
    """An object of TensorRT: its life is on the account, and it needs a context."""

    def _take(self, cuda, kind):
        assert cuda.stack, f"{kind} was made outside of a CUDA context"
        self._cuda, self._kind = cuda, kind
        cuda.take(kind)

    def __del__(self):
        if hasattr(self, "_kind"):
            self._cuda.give(self._kind)


class HostMemory:
    """The buffer that TensorRT gives away."""

    def __init__(self, content):
        self.content = content

    def __bytes__(self):
        return self.content


def classes(trt, cuda, version):
    """Every class, with the members of all versions; each acts on the GPU `cuda`."""

    class ILogger:  # Python subclasses it: it takes attributes
        Severity = enum.IntEnum("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE", start=0)

        def __init__(self):
            self._ready = True

        def log(self, severity, msg):
            raise NotImplementedError

    class IProgressMonitor:
        def __init__(self):
            self._ready = True

        def phase_start(self, phase_name, parent_phase, num_steps):
            raise NotImplementedError

        def phase_finish(self, phase_name):
            raise NotImplementedError

        def step_complete(self, phase_name, step):
            raise NotImplementedError

    def complain(logger, text):
        assert logger._ready, "ILogger.__init__ was not called"
        logger.log(ILogger.Severity.ERROR, text)
        logger.log(ILogger.Severity.VERBOSE, "chatter")

    # --- building --------------------------------------------------------------------------------

    class Builder(Taken):
        def __init__(self, logger):
            self._take(cuda, "builder")
            self._logger = logger

        def create_network(self, flags=0):
            return INetworkDefinition(flags)

        def create_builder_config(self):
            return IBuilderConfig(self._logger)

        def create_optimization_profile(self):
            return IOptimizationProfile()

        def build_serialized_network(self, network, config):
            flags = {f.name for f in trt.NetworkDefinitionCreationFlag if network._flags >> f & 1}
            asked = {"network": flags, **config._asked, "float32": network._float32}
            trt.built.append(asked)
            if "STRONGLY_TYPED" in flags and {"FP16", "INT8"} & asked["flags"]:
                complain(self._logger, "precision flags in a strongly typed network")
                return None
            monitor = getattr(config, "progress_monitor", None)
            if monitor is not None:
                assert monitor._ready
                monitor.phase_start("Building", None, trt.steps)
                for step in range(trt.steps):
                    time.sleep(trt.step_seconds)
                    if not monitor.step_complete("Building", step):
                        return None
                monitor.phase_finish("Building")
            if trt.fail_build:
                complain(self._logger, trt.fail_build)
                return None
            config._cache._timings.add(f"{network._model.graph.name} {len(trt.built)}")
            (name,) = (i.name for i in network._model.graph.input)
            shapes = config._profiles[0]._shapes[name]
            return HostMemory(plan(network._model.SerializeToString(), shapes))

    class INetworkDefinition(Strict):
        def __init__(self, flags):
            self._flags, self._model, self._float32 = flags, None, []

        @property
        def num_layers(self):
            return len(self._model.graph.node)

        def get_layer(self, index):
            return ILayer(self, self._model.graph.node[index])

    class ILayer(Strict):
        def __init__(self, network, node):
            self._network, self._node = network, node

        @property
        def type(self):
            reduces = self._node.op_type.startswith("Reduce")
            return trt.LayerType.REDUCE if reduces else trt.LayerType.SHUFFLE

        def get_input(self, index):
            return ITensor()

        @property
        def precision(self):
            return None

        @precision.setter
        def precision(self, value):
            assert value == trt.float32
            self._network._float32.append(self._node.op_type)

    class ITensor(Strict):
        @property
        def dtype(self):
            return trt.float32

    class OnnxParser(Strict):
        def __init__(self, network, logger):
            self._network, self._errors = network, []

        def parse(self, model):
            self._network._model = graph = onnx.load_from_string(model)
            kinds = onnx.shape_inference.infer_shapes(graph, strict_mode=True).graph.value_info
            uint8 = {v.name for v in kinds if v.type.tensor_type.elem_type == TensorProto.UINT8}
            for index, node in enumerate(graph.graph.node):
                if node.op_type == "Unknown" or uint8 & set(node.output):
                    self._errors.append(ParserError(index, node))
            return not self._errors

        @property
        def num_errors(self):
            return len(self._errors)

        def get_error(self, index):
            return self._errors[index]

    class ParserError(Strict):
        def __init__(self, index, node):
            self._index, self._node = index, node

        def node(self):
            return self._index

        def node_name(self):
            return self._node.name

        def node_operator(self):
            return self._node.op_type

        def desc(self):
            return " this operator is not supported\n"

    class IOptimizationProfile(Strict):
        def __init__(self):
            self._shapes = {}

        def set_shape(self, input, min, opt, max):
            self._shapes[input] = [list(min), list(opt), list(max)]

    class IBuilderConfig(Strict):
        def __init__(self, logger):
            self._logger, self._profiles, self._cache, self._monitor = logger, [], None, None
            self._asked = {"flags": {"TF32"}, "workspace": None}

        def set_flag(self, flag):
            self._asked["flags"].add(flag.name)

        def clear_flag(self, flag):
            self._asked["flags"].discard(flag.name)

        def set_memory_pool_limit(self, pool, pool_size):
            assert pool == trt.MemoryPoolType.WORKSPACE
            self._asked["workspace"] = pool_size

        def add_optimization_profile(self, profile):
            self._profiles.append(profile)
            return len(self._profiles) - 1

        def create_timing_cache(self, serialized_timing_cache):
            return ITimingCache._read(serialized_timing_cache)

        def set_timing_cache(self, cache, ignore_mismatch):
            self._cache = cache
            return True

        @property
        def progress_monitor(self):
            return self._monitor

        @progress_monitor.setter
        def progress_monitor(self, monitor):
            self._monitor = monitor

    class ITimingCache(Strict):
        def __init__(self, timings):
            self._timings = timings

        @classmethod
        def _read(cls, content):
            try:
                return cls(set(json.loads(content or "[]")))
            except ValueError:
                return None

        def combine(self, input_cache, ignore_mismatch):
            self._timings |= input_cache._timings
            return True

        def serialize(self):
            return HostMemory(json.dumps(sorted(self._timings)).encode())

    # --- running ---------------------------------------------------------------------------------

    class Runtime(Taken):
        def __init__(self, logger):
            self._take(cuda, "runtime")
            self._logger = logger

        def deserialize_cuda_engine(self, serialized_engine):
            if cuda.tick("deserialize_cuda_engine"):
                complain(self._logger, "made to fail")
                return None
            head, _, body = bytes(serialized_engine).partition(b"\n")
            if not head.startswith(MAGIC):
                complain(self._logger, "Serialization assertion magicTag failed")
                return None
            return ICudaEngine(json.loads(head.removeprefix(MAGIC)), body)

    class ICudaEngine(Taken):
        def __init__(self, head, body):
            self._take(cuda, "engine")
            model = onnx.load_from_string(body)
            self._ends = [*model.graph.input, *model.graph.output]
            self._profile = head
            self._session = ort.InferenceSession(body, providers=["CPUExecutionProvider"])

        @property
        def num_io_tensors(self):
            return len(self._ends)

        def _end(self, name):
            return next(end for end in self._ends if end.name == name)

        def get_tensor_name(self, index):
            return self._ends[index].name

        def get_tensor_mode(self, name):
            modes = trt.TensorIOMode
            return modes.INPUT if self._end(name) is self._ends[0] else modes.OUTPUT

        def get_tensor_dtype(self, name):
            kind = self._end(name).type.tensor_type.elem_type
            return {TensorProto.UINT8: trt.uint8, TensorProto.FLOAT: trt.float32}.get(kind)

        def get_tensor_shape(self, name):
            dims = self._end(name).type.tensor_type.shape.dim
            return [dim.dim_value or -1 for dim in dims]

        def get_tensor_profile_shape(self, name, profile_index):
            return self._profile

        def create_execution_context(self):
            return None if cuda.tick("create_execution_context") else IExecutionContext(self)

    class IExecutionContext(Taken):
        def __init__(self, engine):
            self._take(cuda, "execution context")
            self._engine, self._shape, self._at = engine, None, {}

        def set_input_shape(self, name, shape):
            low, _, high = (shapes[0] for shapes in self._engine._profile)
            self._shape = tuple(shape)
            return low <= shape[0] <= high and not cuda.tick("set_input_shape")

        def set_tensor_address(self, name, memory):
            self._at[name] = memory
            return not cuda.tick("set_tensor_address")

        def execute_async_v3(self, stream_handle):
            if cuda.tick("execute_async_v3"):
                return False
            clip, logits = self._engine._ends
            shape, source, target = self._shape, self._at[clip.name], self._at[logits.name]
            session = self._engine._session

            def compute():
                cuda.log.append(f"compute {source:#x}")
                pixels = np.frombuffer(cuda.memory[source], np.uint8, int(np.prod(shape)))
                (result,) = session.run([logits.name], {clip.name: pixels.reshape(shape)})
                result = trt.tamper(result) if trt.tamper else result
                cuda.memory[target][: result.nbytes] = result.tobytes()

            cuda.streams[stream_handle].queue(compute)
            return True

    return [kind for kind in locals().values() if isinstance(kind, type)]
