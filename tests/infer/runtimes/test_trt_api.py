"""What our code asks of TensorRT is there, in every recorded version, or is asked for only where it
is. The source is read, not run: also what no test reaches is checked.

The recorded surfaces come from real bindings (tests/tensorrt_api/record.py)."""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import fake_tensorrt
from tests.fake_cuda import FakeCuda

ROOT = Path(__file__).resolve().parents[3]
MODULE = "the module"

# The variables that hold TensorRT's objects. They are called the same everywhere.
VARIABLES = {
    "infer/runtimes/tensorrt/engine.py": {
        "trt": MODULE,
        "runtime": "Runtime",
        "engine": "ICudaEngine",
    },
    "infer/runtimes/tensorrt/runtime.py": {"context": "IExecutionContext"},
    "export/tensorrt/build.py": {
        "trt": MODULE,
        "builder": "Builder",
        "network": "INetworkDefinition",
        "parser": "OnnxParser",
        "config": "IBuilderConfig",
        "profile": "IOptimizationProfile",
        "cache": "ITimingCache",
        "others": "ITimingCache",
        "error": "ParserError",
        "layer": "ILayer",
        "flags": "NetworkDefinitionCreationFlag",
    },
}
GIVES = {"get_input": "ITensor"}

# Parts that old versions lack, and new ones. Everything else is in all of them.
LACKING = {
    "8.6.0": {
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
        "the module.IProgressMonitor",
        "IProgressMonitor.phase_start",
        "IProgressMonitor.phase_finish",
        "IProgressMonitor.step_complete",
        "IBuilderConfig.progress_monitor",
        "ParserError.node_name",
        "ParserError.node_operator",
    },
    "10.0.1": set(),
    "10.16.1.11": set(),
    "11.0.0.114": {
        "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
        "BuilderFlag.FP16",
        "BuilderFlag.INT8",
        "BuilderFlag.OBEY_PRECISION_CONSTRAINTS",
        "ILayer.precision",
    },
    "11.4.0.106": {
        "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
        "BuilderFlag.FP16",
        "BuilderFlag.INT8",
        "BuilderFlag.OBEY_PRECISION_CONSTRAINTS",
        "ILayer.precision",
    },
}


@dataclass(frozen=True)
class Use:
    """`kind.name` in the source, reached only if every guard, (kind, name, there), holds."""

    where: str
    kind: str
    name: str
    guards: frozenset[tuple[str, str, bool]]

    def __str__(self):
        return f"{self.kind}.{self.name}"


class Reader(ast.NodeVisitor):
    """Finds the uses in one file, and under which `hasattr` each function is called."""

    def __init__(self, file, variables, inherited):
        self.file, self.variables, self.inherited = file, variables, inherited
        self.uses, self.calls, self.guards = [], {}, []

    def kind_of(self, node):
        """The class of what an expression gives; None: not TensorRT's."""
        if isinstance(node, ast.Name):
            return self.variables.get(node.id)
        if isinstance(node, ast.Attribute):
            inner = self.kind_of(node.value)
            inside = inner == MODULE or node.attr == "Severity"
            return node.attr if inner is not None and inside else None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return GIVES.get(node.func.attr)
        return None

    def use(self, node, kind, name):
        where = f"{self.file}:{node.lineno}"
        self.uses.append(Use(where, kind, name, frozenset(self.guards)))

    def visit_Attribute(self, node):
        kind = self.kind_of(node.value)
        if kind is not None and not node.attr.startswith("__"):
            self.use(node, kind, node.attr)
        self.generic_visit(node)

    def visit_ClassDef(self, node):
        for base in node.bases:
            kind = self.kind_of(base)
            for member in node.body:
                if kind and isinstance(member, ast.FunctionDef) and member.name[0] != "_":
                    names = {n.id for n in ast.walk(member) if isinstance(n, ast.Name)}
                    assert "self" in names or member.args.args[0].arg == "self"
                    if member.name != "last":  # our own
                        self.use(member, kind, member.name)
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        before = self.guards
        self.guards = [*before, *self.inherited.get(node.name, ())]
        self.generic_visit(node)
        self.guards = before

    def visit_Call(self, node):
        if isinstance(node.func, ast.Name):
            self.calls.setdefault(node.func.id, []).append(set(self.guards))
        self.generic_visit(node)

    def guard(self, test):
        turned = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
        call = test.operand if turned else test
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "hasattr":
            return (self.kind_of(call.args[0]), call.args[1].value, not turned)
        return None

    def branch(self, node):
        guard = self.guard(node.test)
        self.visit(node.test)
        for nodes, there in ((node.body, True), (node.orelse, False)):
            before = self.guards
            if guard is not None:
                self.guards = [*before, (guard[0], guard[1], guard[2] is there)]
            for child in nodes if isinstance(nodes, list) else [nodes]:
                self.visit(child)
            self.guards = before

    visit_If = visit_IfExp = branch


def read(file):
    """Every use of TensorRT in a file."""
    tree = ast.parse((ROOT / file).read_text())
    inherited = {}
    for _ in range(2):  # the second time with what the first found about calls
        reader = Reader(file, VARIABLES[file], inherited)
        reader.visit(tree)
        inherited = {name: set.intersection(*guards) for name, guards in reader.calls.items()}
    return reader.uses


USES = [use for file in VARIABLES for use in read(file)]


def has(surface, kind, name):
    if kind == MODULE:
        return name in surface["module"] or name in surface["classes"] or name == "__version__"
    return name in surface["classes"].get(kind, ())


def reached(use, surface):
    return all(has(surface, kind, name) is there for kind, name, there in use.guards)


@pytest.mark.parametrize("version", fake_tensorrt.VERSIONS)
def test_all_that_is_used_is_there_or_guarded(version):
    surface = fake_tensorrt.FULL[version]
    missing = [use for use in USES if not has(surface, use.kind, use.name)]
    assert [f"{use.where}: {use}" for use in missing if reached(use, surface)] == []
    assert {str(use) for use in missing} == LACKING[version]


def test_the_runtime_half_is_in_the_lean_bindings_too():
    (lean,) = [s for s in fake_tensorrt.SURFACES if "lean" in s["wheel"]]
    uses = [use for use in USES if use.where.startswith("infer/")]
    assert [str(use) for use in uses if not has(lean, use.kind, use.name)] == []


def test_no_variable_of_the_table_is_out_of_date():
    used = {(use.where.split(":")[0], use.kind) for use in USES}
    for file, variables in VARIABLES.items():
        for kind in variables.values():
            assert (file, kind) in used, f"{file} uses nothing of {kind}"
    assert len({str(use) for use in USES}) > 50


def test_a_use_of_something_that_is_not_there_is_found():
    source = "def f(config, trt):\n    config.max_workspace_size = 1\n"
    source += "    if hasattr(trt, 'IProgressMonitor'):\n        trt.IProgressMonitor\n"
    reader = Reader("x.py", VARIABLES["export/tensorrt/build.py"], {})
    reader.visit(ast.parse(source))
    wrong = {
        version: [str(u) for u in reader.uses if reached(u, s) and not has(s, u.kind, u.name)]
        for version, s in fake_tensorrt.FULL.items()
    }
    assert wrong.pop("8.6.0") == []  # it still had that
    assert all(found == ["IBuilderConfig.max_workspace_size"] for found in wrong.values())


def test_the_fake_has_nothing_that_no_version_has():
    module = fake_tensorrt.make(FakeCuda(), fake_tensorrt.VERSIONS[-1])
    for kind in fake_tensorrt.classes(module, FakeCuda(), "any"):
        name = kind.__name__
        recorded = {m for s in fake_tensorrt.FULL.values() for m in s["classes"].get(name, ())}
        public = {member for member in vars(kind) if not member.startswith("_")}
        if recorded:
            assert public <= recorded, name
        else:
            assert name in ("Taken", "Strict", "HostMemory"), name


@pytest.mark.peer
def test_the_installed_bindings_have_it():
    """Any of them: TensorRT, or the lean wheels, which need no GPU and have the runtime half."""
    for package in ("tensorrt", "tensorrt_lean", "tensorrt_lean_bindings"):
        try:
            trt = importlib.import_module(package)
        except ImportError:
            continue
        break
    else:
        pytest.skip("neither tensorrt nor tensorrt-lean-cu12-bindings and -libs are installed")
    members = {kind: dir(getattr(trt, kind)) for kind in dir(trt) if kind[0].isupper()}
    members["Severity"] = dir(trt.ILogger.Severity)
    surface = {"module": dir(trt), "classes": members}
    uses = [use for use in USES if package == "tensorrt" or use.where.startswith("infer/")]
    wrong = [use for use in uses if not has(surface, use.kind, use.name)]
    assert [str(use) for use in wrong if reached(use, surface)] == []
