"""What an export leaves behind, to print and as a receipt."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from swinseg.exporting.checking import LABEL_LIMITS, TOLERANCE, Case
from swinseg.exporting.gate import Accuracy
from swinseg.exporting.quantizing.int8 import Quantization
from swinseg.exporting.targets import TARGETS, DType, TargetName
from swinseg.runtimes.metadata import Metadata
from swinseg.versions import installed_versions


@dataclass(frozen=True)
class Exported:
    """What was exported, and how far it is from the model.

    Attributes:
        path: the file; its suffix is that of its target.
        target: what it was exported to.
        dtype: that it computes in.
        files: it, what belongs to it, and the receipt, which says what is said here as JSON.
        size_in_bytes: of the first two.
        nodes: operations of the graph.
        opset: of ONNX, from which OpenVINO's graph is made, too; None where there is none.
        seconds: that it took.
        cases: the comparisons with PyTorch.
        accuracy: what model and file are worth on the data that was given; None without.
        quantization: how the file came to its int8; None for other types.
    """

    path: Path
    target: TargetName
    dtype: DType
    files: tuple[Path, ...]
    size_in_bytes: int
    nodes: int
    opset: int | None
    seconds: float
    cases: tuple[Case, ...]
    accuracy: Accuracy | None = None
    quantization: Quantization | None = None

    def __str__(self) -> str:
        """Return lines to print."""
        opset = '' if self.opset is None else f'opset {self.opset}, '
        lines = [
            f'{self.path}: {self.dtype}, {self.size_in_bytes / 2**20:.1f} MiB, {self.nodes} nodes, {opset}'
            f'{self.seconds:.0f} s',
            f'largest differences of {TARGETS[self.target].runtime_name} from PyTorch, at batch x height x width:',
            *(f'  {case}' for case in self.cases),
            *([] if self.accuracy is None else [str(self.accuracy)]),
            f'receipt: {self.files[-1]}',
        ]
        return '\n'.join(lines)


def receipt(exported: Exported, metadata: Metadata, *, checksum: str) -> str:
    """Return all that is known of an exported file as JSON.

    Args:
        exported: it.
        metadata: what it says about itself.
        checksum: SHA-256 of it.
    """
    target = TARGETS[exported.target]
    entries = {
        'file': exported.path.name,
        'sha256': checksum,
        'bytes': exported.size_in_bytes,
        'nodes': exported.nodes,
        'opset': exported.opset,
        'target': exported.target,
        'dtype': exported.dtype,
        'model': asdict(metadata),
        'runtime': target.runtime_name,
        'versions': installed_versions(('swinseg', 'torch', *target.needs)),
        'tolerance': TOLERANCE if exported.dtype == 'float32' else None,
        'label_tolerance': LABEL_LIMITS.get(exported.dtype),
        'compared': [asdict(case) for case in exported.cases],
        'accuracy': None if exported.accuracy is None else asdict(exported.accuracy),
        'quantization': None if exported.quantization is None else exported.quantization.record(),
        'seconds': round(exported.seconds, 1),
    }
    return json.dumps(entries, indent=2, ensure_ascii=False) + '\n'
