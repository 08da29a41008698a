"""TensorFlow's SavedModel: the operations of its graphs and functions. None may reach files or Python by itself.

Format: tensorflow/core/protobuf/saved_model.proto, meta_graph.proto, framework/graph.proto, function.proto.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from cloudmodel.formats.model import Finding
from cloudmodel.formats.scanning.context import Place
from cloudmodel.formats.wire import BYTES, Allowance, Broken, Buffer, Field, fields

MAX_FIELDS = 50_000_000
REACHES_OUT = {
    "PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles", "ReaderReadV2",
    "WholeFileReader", "WholeFileReaderV2", "TextLineReader", "TextLineReaderV2", "TextLineDataset",
    "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "TFRecordDataset", "TFRecordDatasetV2", "TFRecordReader",
    "TFRecordReaderV2", "SqlDataset", "GeneratorDataset", "SaveDataset", "SaveDatasetV2", "LoadDataset", "PrintV2",
    "DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "DebugNanCount", "DebugNumericSummary", "RpcCall", "TryRpc",
    "WriteSummary", "WriteRawProtoSummary", "CreateSummaryFileWriter", "CreateSummaryDbWriter", "ImportEvent",
    "WriteGraphSummary", "DistributedSave", "DataServiceDatasetV4", "RegisterDataset", "RegisterDatasetV2",
    "RemoteCall", "_Send", "_Recv", "CSVDataset", "CSVDatasetV2", "CacheDataset", "CacheDatasetV2",
    "CalibrationStatisticsSaver", "CloseSummaryWriter", "DataServiceDataset", "DataServiceDatasetV2",
    "DataServiceDatasetV3", "DatasetToTFRecord", "DebugNumericSummaryV2", "DumpTensor", "ExperimentalCSVDataset",
    "ExperimentalDatasetToTFRecord", "ExperimentalLMDBDataset", "ExperimentalMatchingFilesDataset",
    "ExperimentalSqlDataset", "FileSystemSetConfiguration", "FixedLengthRecordReader", "FixedLengthRecordReaderV2",
    "FixedUnigramCandidateSampler", "FlushSummaryWriter", "GenerateVocabRemapping", "IdentityReader",
    "IdentityReaderV2", "ImmutableConst", "LMDBDataset", "LMDBReader", "ListSnapshotChunksDataset",
    "LoadAndRemapMatrix", "MatchingFilesDataset", "ReaderRead", "ReaderReadUpTo", "ReaderReadUpToV2", "RecordInput",
    "Restore", "RestoreSlice", "RpcClient", "RpcGetValue", "RpcServer", "RpcServerRegister", "RpcServerStart", "Save",
    "SaveSlices", "Skipgram", "SnapshotChunkDataset", "SnapshotDataset", "SnapshotDatasetReader", "SnapshotDatasetV2",
    "SnapshotNestedDatasetReader", "StatsAggregatorSetSummaryWriter", "SummaryWriter", "WriteAudioSummary",
    "WriteHistogramSummary", "WriteImageSummary", "WriteScalarSummary",
}  # fmt: skip
"""Operations that read or write files, run Python, or talk to other machines. What every SavedModel has is not here:
`RestoreV2` and `SaveV2` for its own variables, `InitializeTableFromTextFileV2` for its own assets."""
WEIGHTS = re.compile(r"(.*/)?(variables/variables\.(index|data-\d{5}-of-\d{5})|fingerprint\.pb|keras_metadata\.pb)")
GRAPH = "saved_model.pb"


def scan(buffer: Buffer, where: str) -> list[Finding]:
    """What is wrong with a `saved_model.pb`."""
    allowance = Allowance(MAX_FIELDS)
    try:
        names = {name for graph in _graphs(buffer, allowance) for name in _operations(buffer, graph, allowance)}
    except Broken as broken:
        return [Finding(rule="unreadable", location=f"{where}: byte {broken.offset}", detail=broken.reason)]
    return [
        Finding(rule="file-operator", location=where, detail=f"the operation {name} reaches files, Python or a network")
        for name in sorted(names & REACHES_OUT)
    ]


def variables(folder: Path) -> list[Path]:
    """The files that belong to `saved_model.pb` and that TensorFlow reads as numbers: the shards of the variables and
    their index, by names that only it writes; the fingerprint; what Keras 2 wrote for itself, which is never read."""
    names = ("variables/variables.index", "variables/variables.data-?????-of-?????", "fingerprint.pb",
             "keras_metadata.pb")  # fmt: skip
    found = (path for name in names for path in folder.glob(name))
    return [path for path in found if path.is_file() and not path.is_symlink() and not path.parent.is_symlink()]


def weights_of(name: str) -> str | None:
    """The graph whose variables a file holds by its name, which TensorFlow reads as numbers; None for another."""
    found = WEIGHTS.fullmatch(name)
    return (found.group(1) or "") + GRAPH if found else None


def forgive_weights(place: Place, names: Iterable[str]) -> None:
    """Take back that members of an archive are of no known kind where they are a SavedModel's variables."""
    every = set(names)
    known = {place.inner(name).where for name in every if weights_of(name) in every}
    findings = place.context.findings
    findings[:] = [each for each in findings if each.rule != "not-scanned" or each.location not in known]


def _graphs(buffer: Buffer, allowance: Allowance) -> Iterator[Field]:
    for meta in _inner(buffer, 0, len(buffer), 2, allowance):
        yield from _inner(buffer, meta.start, meta.stop, 2, allowance)


def _operations(buffer: Buffer, graph: Field, allowance: Allowance) -> Iterator[str]:
    for node in _inner(buffer, graph.start, graph.stop, 1, allowance):
        yield from _names(buffer, node, allowance)
    for library in _inner(buffer, graph.start, graph.stop, 2, allowance):
        for function in _inner(buffer, library.start, library.stop, 1, allowance):
            for node in _inner(buffer, function.start, function.stop, 3, allowance):
                yield from _names(buffer, node, allowance)


def _names(buffer: Buffer, node: Field, allowance: Allowance) -> Iterator[str]:
    for name in _inner(buffer, node.start, node.stop, 2, allowance):
        yield bytes(buffer[name.start : name.stop]).decode("utf-8", "replace")


def _inner(buffer: Buffer, start: int, stop: int, number: int, allowance: Allowance) -> Iterator[Field]:
    return (each for each in fields(buffer, start, stop, allowance) if each.number == number and each.wire == BYTES)
