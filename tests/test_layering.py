"""Who may call whom, and who may name what: the structure that the package promises, read from its sources."""
import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import fastconv

PACKAGE = Path(fastconv.__file__).parent
SOURCES = PACKAGE.parent / "src"
MODULES = {path.stem: path for path in PACKAGE.glob("*.py")} | {"kernels": PACKAGE / "kernels" / "__init__.py"}
# Modules of this package that the lower layers may import; all others may import anything but `kernels`.
LOWER = {"problem": set(), "arrays": set(), "config": set(), "reference": set(), "kernels": {"call", "cpu", "lattice"},
         "row": set(), "pool_problem": {"problem"}, "reference_pooling": set(), "pool_algorithms": {"pool_problem", "row"},
         "resample_problem": {"problem"}, "region_problem": {"problem", "resample_problem"},
         "resample_tables": {"resample_problem", "row"},
         "resample_algorithms": {"region_problem", "resample_problem", "resample_tables", "row"},
         "reference_resampling": set(), "reference_regions": set(),
         "tiles": {"problem", "row"}, "costs": {"problem", "row", "tiles"},
         "depthwise_costs": {"costs", "problem", "row"},
         "algorithms": {"costs", "depthwise_costs", "problem", "row", "fft_tiles", "pool_algorithms", "resample_algorithms"},
         "machine": {"kernels", "row"}, "transforms": set(), "fft_tiles": {"problem", "row"},
         "blocks": {"algorithms", "costs", "depthwise_costs", "problem", "row", "tiles"},
         "plan": {"problem", "algorithms", "arrays", "blocks", "costs", "row", "fft_tiles", "machine", "kernels",
                  "transforms", "tuned"},
         "tuned": {"__version__", "config", "machine", "problem"}, "deform_problem": {"problem"},
         "rank_one": {"arrays", "chain", "depthwise_costs", "machine", "plan", "problem", "row"},
         "chain": {"arrays", "blocks", "depthwise_costs", "kernels", "plan", "row"},
         "phases": {"arrays", "blocks", "kernels", "plan", "row", "transposed_problem"},
         "stream_plan": {"algorithms", "machine", "kernels", "row"}, "recall": {"arrays", "config", "plan", "stream_plan"},
         "reference_deformable": {"reference"},
         "validation": {"config", "reference", "reference_deformable", "reference_pooling", "reference_regions",
                        "reference_resampling"}}
ABOUT_KERNELS = {"introspection"}       # tells what is installed and how fast it could be, and has to ask
ONCE = {"cpu", "call", "lattice"}       # built once: what the CPU can run, calls, and a copy of single numbers
PREPARING = {"coverage", "masking", "phase_panels"}       # prepare what a row reads
YARDSTICK = "peak"                      # measures the machine: no convolution, called by nothing that convolves
INSTRUCTION_SETS = re.compile(r"\b(v[234]|neon|avx\w*|sse\w*|AVX\w*|SSE\w*)\b|\b_mm\d*_")
NUMERIC = {"numpy", "scipy", "ml_dtypes"}

if not SOURCES.is_dir():
    pytest.skip("the sources of the kernels are not here: an installed package", allow_module_level=True)


def imports(path: Path) -> tuple[set[str], set[str]]:
    """Modules of this package, and packages from elsewhere, that a module imports anywhere in its code."""
    own, foreign = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            foreign |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            own |= {node.module.partition(".")[0]} if node.module else {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            foreign.add(node.module.partition(".")[0])
    return own, foreign


def names(path: Path) -> set[str]:
    """Identifiers and strings of a Python file, without docstrings and comments."""
    tree = ast.parse(path.read_text())
    doc = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef))
           and node.body and isinstance(node.body[0], ast.Expr)}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in doc:
            found.add(node.value)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
    return found


def code(path: Path) -> str:
    """A Cython file without docstrings and comments."""
    return re.sub(r"#.*", "", re.sub(r'""".*?"""', "", path.read_text(), flags=re.S))


CYTHON = sorted((*SOURCES.rglob("*.pyx"), *SOURCES.rglob("*.pxd")))
KERNELS = [path for path in CYTHON if path.suffix == ".pyx" and path.stem not in ONCE]


@pytest.mark.parametrize("module", MODULES)
def test_calls_go_down(module):
    own, foreign = imports(MODULES[module])
    if module in LOWER:
        assert own <= LOWER[module]
    elif module not in ABOUT_KERNELS:
        assert "kernels" not in own, "only plan.py, stream_plan.py and machine.py know of kernels"
    if module.endswith("algorithms"):
        assert not foreign & NUMERIC, "rows hold names, and cost nothing to import"


def test_no_module_calls_itself_over_others():
    graph = {module: imports(path)[0] & set(MODULES) for module, path in MODULES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


@pytest.mark.parametrize("module", sorted(set(MODULES) - ABOUT_KERNELS - {
    "algorithms", "costs", "pool_algorithms", "resample_algorithms", "machine", "blocks", "plan", "stream_plan", "chain",
    "phases", "reference", "kernels"}))
def test_users_modules_name_no_kernel(module):
    kernels = {path.stem for path in SOURCES.glob("*.pyx")} - ONCE
    assert not kernels & names(MODULES[module])


@pytest.mark.parametrize("path", [*PACKAGE.rglob("*.py")], ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_python_names_no_instruction_set(path):
    assert not [name for name in names(path) if INSTRUCTION_SETS.search(name)]


@pytest.mark.parametrize("path", [p for p in CYTHON if p.name != "cpu.pyx"], ids=lambda p: p.name)
def test_kernels_name_no_instruction_set(path):
    assert not INSTRUCTION_SETS.search(code(path))


@pytest.mark.parametrize("path", CYTHON, ids=lambda p: p.name)
def test_one_parallel_region(path):
    assert code(path).count("parallel(") == (path.name == "region.pxd")
    assert ("prange(" in code(path)) == (path.name == "region.pxd")
    assert not re.search(r"\b(omp_|pthread_)", code(path))


@pytest.mark.parametrize("path", sorted((SOURCES / "micro").glob("*.pxd")), ids=lambda p: p.name)
def test_micro_functions_are_plain_c(path):
    """No threads, no allocation, no Python objects, no memoryviews, and nothing from the layers above."""
    text = code(path)
    for word in (r"\b\w*alloc\b", r"posix_memalign", r"\bfree\(", r"\bobject\b", r"^\s*def ", r"\braise\b", r"\[:",
                 r"with gil", r"\bpython\b", r"np\."):
        assert not re.search(word, text, re.M), word
    assert all(source.startswith(("micro.", "libc.")) for source in re.findall(r"^from (\S+) cimport", text, re.M))
    functions = [line for line in text.splitlines() if re.match(r"cdef .*\(", line) and "extern" not in line]
    assert all("inline" in line for line in functions)


@pytest.mark.parametrize("path", KERNELS, ids=lambda p: p.name)
def test_kernels_hold_no_python(path):
    """No checks, no allocation, no objects: what each build repeats is what runs on its vectors."""
    text = code(path)
    assert not re.search(r"\braise\b|ValueError|TypeError|\bobject\b|\bbytes\b", text), "arguments are checked above"
    assert not re.search(r"\b\w*alloc\(|memalign", text), "call.pyx allocates"
    assert not re.search(r"^\s*(def|class|import) |^from \w+ import |cpython", text, re.M), "call.pyx speaks with Python"
    assert re.search(r"^kernel = offer\(&table, ", text, re.M)


@pytest.mark.parametrize("path", [p for p in CYTHON if p.suffix == ".pyx" and p.stem != "cpu"], ids=lambda p: p.name)
def test_a_kernel_file_starts_with_its_contract(path):
    assert path.read_text().startswith('"""')
    for section in ("Needs", "Leaves", "Rounds", "Costs"):
        assert re.search(rf"^{section}\b", path.read_text(), re.M), section


def test_every_row_has_its_file():
    files = {path.stem for path in SOURCES.glob("*.pyx")} - {*ONCE, *PREPARING, YARDSTICK}
    used = {file for rows in fastconv.algorithms.TABLE.values() for row in rows for file in (row.kernel, row.kernel_last)}
    assert used == files


def test_public_names():
    assert sorted(fastconv.__all__) == list(fastconv.__all__)
    for name in fastconv.__all__:
        assert getattr(fastconv, name).__doc__
