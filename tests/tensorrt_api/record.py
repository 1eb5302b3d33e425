"""Record which classes, methods and enum members real TensorRT bindings have.

    python tests/tensorrt_api/record.py WHEEL... > tests/tensorrt_api/surface.json

The wheels are those that hold bindings: tensorrt-cu12-bindings (10, 11), tensorrt (8.6.0),
tensorrt-lean-cu12-bindings; get them with `pip download --no-deps`. Neither a GPU nor TensorRT's
libraries are needed: bindings are imported with empty ones in their place, which a C compiler
(`cc`) makes. A wheel for another Python needs that Python on the path, as `python3.10`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

CLASSES = [
    "Builder",
    "BuilderFlag",
    "DataType",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILayer",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IProgressMonitor",
    "ITensor",
    "ITimingCache",
    "LayerType",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "ParserError",
    "Runtime",
    "TensorIOMode",
]

# What the bindings look up while they load.
SYMBOLS = [
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
    "_ZN11nvuffparser15createUffParserEv",
    "_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi",
    "_ZN14nvcaffeparser117createCaffeParserEv",
    "_ZN14nvcaffeparser123shutdownProtobufLibraryEv",
]

INSPECT = """
import ctypes, importlib, json, sys
folder, package, classes, *libraries = sys.argv[1:]
for library in libraries:
    ctypes.CDLL(library, ctypes.RTLD_GLOBAL)
sys.path.insert(0, folder)
trt = importlib.import_module(package)

def members(kind):
    return sorted(name for name in dir(kind) if not name.startswith("_"))

found = {name: members(getattr(trt, name)) for name in classes.split() if hasattr(trt, name)}
if hasattr(trt, "ILogger"):
    found["Severity"] = members(trt.ILogger.Severity)
plain = [name for name in members(trt) if not isinstance(getattr(trt, name), type)]
print(json.dumps({"version": trt.__version__, "module": plain, "classes": found}))
"""


def main(wheels: list[str]) -> None:
    """Print the surfaces of the wheels as JSON, oldest first, one class a line."""
    surfaces = [inspect(Path(wheel)) for wheel in wheels]
    text = json.dumps(surfaces, indent=1)
    # Lists of names on one line each: a new version shows as a small change.
    print(re.sub(r"\[\s+(\"[^]]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text))


def inspect(wheel: Path) -> dict[str, object]:
    """The surface of one wheel."""
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(wheel) as archive:
        folder = Path(name)
        wanted = [n for n in archive.namelist() if "/" in n and "/lib" not in n]
        archive.extractall(folder, wanted)
        (binding,) = folder.glob("*/tensorrt*.so")
        needed = re.findall(rb"libnv[a-z_]+\.so\.\d+", binding.read_bytes())
        libraries = [stand_in(folder, library.decode()) for library in sorted(set(needed))]
        tag = wheel.name.split("-")[-3].removeprefix("cp")
        version = f"{tag[0]}.{tag[1:]}"
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        python = sys.executable if version == here else f"python{version}"
        command = [python, "-c", INSPECT, str(folder), binding.parent.name, " ".join(CLASSES)]
        done = subprocess.run([*command, *libraries], capture_output=True, text=True, check=True)
        return {"wheel": wheel.name, **json.loads(done.stdout)}


def stand_in(folder: Path, name: str) -> str:
    """A library of that name whose functions do nothing."""
    source = folder / "empty.c"
    source.write_text("".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in SYMBOLS))
    target = str(folder / name)
    options = ["-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", target]
    subprocess.run(["cc", *options, str(source)], check=True)
    return target


if __name__ == "__main__":
    main(sys.argv[1:])
