"""Training and a trained model as stages of a pipeline of Spark ML. Importing this wants pyspark.

    estimator = TFEstimator(train_fn, args).setInputMapping({"image": "x", "label": "y"}).setExportDir(export_dir).setClusterSize(3)
    model = estimator.fit(df)
    predictions = model.setInputMapping({"image": "x"}).setOutputMapping({"output_0": "scores"}).transform(df)
"""

import contextlib
import hashlib
import io
import os
import tempfile
import zipfile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Optional, Tuple

from pyspark import SparkFiles
from pyspark.ml.base import Estimator, Model
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.sql import DataFrame, SparkSession

from tfos.compat import TFCluster, TFParallel, _paths, dfutil
from tfos.compat._namespace import Namespace

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

__all__ = [
    "HasBatchSize", "HasClusterSize", "HasEpochs", "HasExportDir", "HasFeedTimeout", "HasGraceSecs", "HasInputMapping", "HasInputMode", "HasMasterNode",
    "HasModelDir", "HasNumPS", "HasOutputMapping", "HasProtocol", "HasReaders", "HasReservationTimeout", "HasSignatureDefKey", "HasSteps", "HasTFRecordDir",
    "HasTagSet", "HasTensorboard", "Namespace", "TFEstimator", "TFModel", "TFParams",
]  # fmt: skip


def _has(name, label, doc, converter):
    """The class that gives a stage the parameter name, with setLabel and getLabel."""
    param = Param(Params._dummy(), name, doc, typeConverter=converter)

    def setter(self, value):
        return self._set(**{name: value})

    def getter(self):
        return self.getOrDefault(getattr(self, name))

    return type(f"Has{label}", (Params,), {name: param, f"set{label}": setter, f"get{label}": getter, "__doc__": doc, "__module__": __name__})


def _mapping(value):
    if not isinstance(value, dict) or not all(isinstance(x, str) for pair in value.items() for x in pair):
        raise TypeError(f"{value!r} is no mapping of names to names")
    return value


HasBatchSize: Any = _has("batch_size", "BatchSize", "Rows in a batch.", TypeConverters.toInt)
HasClusterSize: Any = _has("cluster_size", "ClusterSize", "Nodes of the cluster, of all kinds.", TypeConverters.toInt)
HasEpochs: Any = _has("epochs", "Epochs", "How often the rows are fed.", TypeConverters.toInt)
HasExportDir: Any = _has("export_dir", "ExportDir", "Directory of the SavedModel.", TypeConverters.toString)
HasFeedTimeout: Any = _has("feed_timeout", "FeedTimeout", "Seconds that a live node may take no rows.", TypeConverters.toInt)
HasGraceSecs: Any = _has("grace_secs", "GraceSecs", "Of no need: shutdown waits for the workers.", TypeConverters.toInt)
HasInputMapping: Any = _has("input_mapping", "InputMapping", "Columns, and the tensors they go to.", _mapping)
HasInputMode: Any = _has("input_mode", "InputMode", "TFCluster.InputMode.", TypeConverters.toInt)
HasMasterNode: Any = _has("master_node", "MasterNode", "Role of the first node, chief say.", TypeConverters.toString)
HasModelDir: Any = _has("model_dir", "ModelDir", "Directory of checkpoints.", TypeConverters.toString)
HasNumPS: Any = _has("num_ps", "NumPS", "Parameter servers among the nodes.", TypeConverters.toInt)
HasOutputMapping: Any = _has("output_mapping", "OutputMapping", "Tensors, and the columns they come to.", _mapping)
HasProtocol: Any = _has("protocol", "Protocol", "Network protocol between nodes: grpc, there is no other.", TypeConverters.toString)
HasReaders: Any = _has("readers", "Readers", "Readers of input, for a program that has several.", TypeConverters.toInt)
HasReservationTimeout: Any = _has("reservation_timeout", "ReservationTimeout", "Seconds for all nodes to start.", TypeConverters.toInt)
HasSignatureDefKey: Any = _has("signature_def_key", "SignatureDefKey", "Signature of the SavedModel.", TypeConverters.toString)
HasSteps: Any = _has("steps", "Steps", "Steps of training.", TypeConverters.toInt)
HasTFRecordDir: Any = _has("tfrecord_dir", "TFRecordDir", "Directory for the rows as TFRecords, with InputMode.TENSORFLOW.", TypeConverters.toString)
HasTagSet: Any = _has("tag_set", "TagSet", "Tags of the SavedModel, with commas.", TypeConverters.toString)
HasTensorboard: Any = _has("tensorboard", "Tensorboard", "Whether the leading node runs TensorBoard on model_dir.", TypeConverters.toBoolean)

# Programs look whether args.model_dir and the like are set: they are there, and None.
_DEFAULTS = {
    "batch_size": 100, "cluster_size": 1, "epochs": 1, "export_dir": None, "feed_timeout": 600, "grace_secs": 30, "input_mapping": {}, "input_mode": 1,
    "master_node": None, "model_dir": None, "num_ps": 0, "output_mapping": {}, "protocol": "grpc", "readers": 1, "reservation_timeout": 600,
    "signature_def_key": "serving_default", "steps": 1000, "tag_set": "serve", "tensorboard": False, "tfrecord_dir": None,
}  # fmt: skip


class TFParams(Params):
    """Parameters of Spark ML, with the program's own arguments beside them."""

    args: Any = None

    def merge_args_params(self) -> Namespace:
        """The program's arguments and the parameters together. A parameter that was set stands, then an argument, then a default."""
        merged = Namespace(self.args)
        for param in self.params:
            if self.isSet(param) or (self.isDefined(param) and param.name not in merged):
                setattr(merged, param.name, self.getOrDefault(param))
        return merged

    def _use_defaults(self):
        self._setDefault(**{name: value for name, value in _DEFAULTS.items() if self.hasParam(name)})


class TFModel(
    Model, TFParams, HasBatchSize, HasExportDir, HasInputMapping, HasModelDir, HasOutputMapping, HasSignatureDefKey, HasTagSet
):  # fmt: skip
    """A SavedModel, which transform runs on each executor. It is loaded once in each of Spark's Python processes.

    The SavedModel is export_dir, or else model_dir. input_mapping says which column goes to which input of its signature, output_mapping
    which output comes to which column: transform returns these columns. Where a signature has one input, or one output, and the mapping
    names one, its name in the signature does not matter: Keras 3 chose others than Keras 2.
    """

    def __init__(self, tf_args: Any = None):
        super().__init__()
        self.args = Namespace(tf_args)
        self._use_defaults()

    def _transform(self, dataset: DataFrame) -> DataFrame:
        args = self.merge_args_params()
        for name in ("input_mapping", "output_mapping"):
            if not getattr(args, name):
                raise ValueError(f"a TFModel wants {name} before transform: set{''.join(w.title() for w in name.split('_'))}({{...}})")
        where = args.export_dir or args.model_dir
        if not where:
            raise ValueError("a TFModel wants export_dir, the directory of its SavedModel, before transform: setExportDir(...)")
        _require_columns(dataset, args.input_mapping)

        session = SparkSession.builder.getOrCreate()
        sc = session.sparkContext
        runner = _Runner(sc, where, args)
        schema = sc.parallelize([None], 1).map(lambda _: runner.schema()).collect()[0]  # first() would end the Python process
        rows = dataset.select(sorted(args.input_mapping)).rdd.mapPartitions(runner)
        return session.createDataFrame(rows, schema)


class TFEstimator(
    Estimator, TFParams, HasBatchSize, HasClusterSize, HasEpochs, HasExportDir, HasFeedTimeout, HasGraceSecs, HasInputMapping, HasInputMode,
    HasMasterNode, HasModelDir, HasNumPS, HasProtocol, HasReaders, HasReservationTimeout, HasSteps, HasTFRecordDir, HasTensorboard,
):  # fmt: skip
    """Trains by train_fn(args, ctx) on the nodes of a TFCluster, and makes a TFModel of what it exported.

    args is tf_args with the parameters beside them; where tf_args is a list of a command line's words, it is that list. With
    InputMode.SPARK the nodes are fed the columns of input_mapping, in the order of their names. With InputMode.TENSORFLOW they read
    args.tfrecord_dir, where fit puts these columns (all, without a mapping), unless the DataFrame came from TFRecords itself.
    export_fn(args), if there is one, is called in one Spark task after the training.
    """

    def __init__(self, train_fn: Callable[[Any, Any], Any], tf_args: Any = None, export_fn: Optional[Callable[[Any], Any]] = None):
        super().__init__()
        self.train_fn = train_fn
        self.export_fn = export_fn
        self.args = Namespace(tf_args)
        self._use_defaults()

    def _fit(self, dataset: DataFrame) -> TFModel:
        args = self.merge_args_params()
        sc = SparkSession.builder.getOrCreate().sparkContext
        columns = sorted(args.input_mapping)
        _require_columns(dataset, columns)
        if args.input_mode == TFCluster.InputMode.SPARK:
            if not columns:
                raise ValueError("a TFEstimator that feeds wants input_mapping before fit: setInputMapping({column: tensor})")
            self._train(sc, args, _plain_columns(dataset, columns))
        else:
            args.tfrecord_dir = _as_records(dataset, columns, args)
            self._train(sc, args, None)
        if self.export_fn is not None:
            export_fn, export_args = self.export_fn, getattr(args, "argv", args)
            TFParallel.run(sc, lambda _, ctx: export_fn(export_args), args, 1, use_barrier=False)
        return self._copyValues(TFModel(self.args))

    def _train(self, sc, args, fed):
        cluster = TFCluster.run(
            sc, self.train_fn, getattr(args, "argv", args), args.cluster_size, args.num_ps, tensorboard=args.tensorboard, input_mode=args.input_mode,
            log_dir=args.model_dir, master_node=args.master_node, reservation_timeout=args.reservation_timeout,
        )  # fmt: skip
        if fed is not None:
            try:
                cluster.train(fed, args.epochs, args.feed_timeout)
            except BaseException:
                with contextlib.suppress(Exception):  # what ended the feed says more than what the end of the nodes does
                    cluster.shutdown(timeout=0)
                raise
        cluster.shutdown(grace_secs=args.grace_secs)


def _plain_columns(dataset, columns):
    """These columns, in which MLlib's vectors are arrays, as nodes want them: they may have no pyspark."""
    from pyspark.ml.functions import vector_to_array
    from pyspark.ml.linalg import VectorUDT

    vectors = {f.name for f in dataset.schema if isinstance(f.dataType, VectorUDT)}
    return dataset.select([vector_to_array(dataset[c]).alias(c) if c in vectors else dataset[c] for c in columns])


def _as_records(dataset, columns, args):
    """The directory that has the rows as TFRecords."""
    if dfutil.isLoadedDF(dataset):
        return dfutil.loadedDF[dataset]
    where = args.tfrecord_dir
    if not where:
        raise ValueError("a TFEstimator with InputMode.TENSORFLOW wants tfrecord_dir before fit, a directory that does not exist yet: setTFRecordDir(...)")
    dfutil.saveAsTFRecords(dataset.select(columns) if columns else dataset, where)
    return where


def _require_columns(dataset, names):
    missing = sorted(set(names) - set(dataset.columns))
    if missing:
        raise ValueError(f"input_mapping names columns that the DataFrame does not have: {', '.join(missing)}; it has {', '.join(dataset.columns)}")


class _Runner:
    """Runs a SavedModel over partitions. Spark's tasks get the model with it, so they need not reach where it lies."""

    def __init__(self, sc, where, args):
        data = _packed(sc, where)
        self._model = sc.broadcast(data)
        self._name = (hashlib.sha256(data).hexdigest(), args.tag_set, args.signature_def_key)
        self._batch_size = args.batch_size
        self._inputs = [args.input_mapping[column] for column in sorted(args.input_mapping)]
        self._outputs = sorted(args.output_mapping)
        self._columns = [args.output_mapping[tensor] for tensor in self._outputs]
        self._where = where

    def schema(self) -> "StructType":
        """The columns that come out."""
        from pyspark.sql.types import StructField, StructType

        signature = self._signature()
        outputs = _chosen(self._outputs, signature.structured_outputs, "output_mapping", "outputs")
        return StructType([StructField(c, _column_type(o, signature.structured_outputs[o])) for c, o in zip(self._columns, outputs)])

    def __call__(self, rows: Iterator[Any]) -> Iterator[Tuple[Any, ...]]:
        batch = []
        for row in rows:
            batch.append(row)
            if len(batch) == self._batch_size:
                yield from self._run(batch)
                batch = []
        if batch:
            yield from self._run(batch)

    def _run(self, batch):
        import tensorflow as tf

        signature = self._signature()
        specs = signature.structured_input_signature[1]
        inputs = _chosen(self._inputs, specs, "input_mapping", "inputs")
        given = {name: _tensor(tf, specs[name], values) for name, values in zip(inputs, zip(*batch))}
        answers = signature(**given)
        columns = []
        for name in _chosen(self._outputs, answers, "output_mapping", "outputs"):
            values = answers[name].numpy()
            if values.ndim == 0 or len(values) != len(batch):
                raise ValueError(f"output {name} has shape {values.shape} for {len(batch)} rows: it must have one entry for each row")
            columns.append(_plain(values))
        return zip(*columns)

    def _signature(self):
        found = _loaded.get(self._name)
        if found is None:
            found = _loaded[self._name] = self._load()
        return found[1]

    def _load(self):
        import tensorflow as tf

        _, tags, key = self._name
        directory = tempfile.mkdtemp(prefix="tfos-model-", dir=SparkFiles.getRootDirectory())  # which Spark removes
        with zipfile.ZipFile(io.BytesIO(self._model.value)) as z:
            z.extractall(directory)
        model = tf.saved_model.load(directory, tags=tags.split(","))
        if key not in model.signatures:
            raise ValueError(f"{self._where} has no signature {key!r}; it has {', '.join(sorted(model.signatures)) or 'none'}: setSignatureDefKey(...)")
        return model, model.signatures[key]  # a signature does not keep its model alive


#: By content, tags and signature: the models of this process. Spark uses its Python processes again.
_loaded: Dict[Tuple[str, str, str], Any] = {}


def _packed(sc, where):
    """The files of a SavedModel's directory as a zip, read by the filesystem that its path names."""
    conf = sc._jsc.hadoopConfiguration()
    place = SimpleNamespace(defaultFS=conf.get("fs.defaultFS"), working_dir=os.getcwd())
    path = sc._jvm.org.apache.hadoop.fs.Path(_paths.hdfs_path(place, where))
    files = path.getFileSystem(conf)
    if not files.exists(sc._jvm.org.apache.hadoop.fs.Path(path, "saved_model.pb")):
        raise FileNotFoundError(f"{path.toString()} is no SavedModel: it has no saved_model.pb")
    with tempfile.TemporaryDirectory(prefix="tfos-model-") as directory:
        copied = os.path.join(directory, "model")
        files.copyToLocalFile(False, path, sc._jvm.org.apache.hadoop.fs.Path(copied), True)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as z:
            for name in sorted(os.path.join(d, f) for d, _, found in os.walk(copied) for f in found):
                with open(name, "rb") as f:
                    z.writestr(zipfile.ZipInfo(os.path.relpath(name, copied)), f.read())
        return out.getvalue()


def _chosen(wanted, there, mapping, what):
    """The names in a signature for the names in a mapping."""
    if len(wanted) == len(there) == 1:
        return list(there)
    missing = [name for name in wanted if name not in there]
    if missing:
        raise ValueError(f"{mapping} names {', '.join(missing)}, and the signature's {what} are {', '.join(sorted(there))}")
    return wanted


def _tensor(tf, spec, values):
    import numpy as np

    dtype = spec.dtype.as_numpy_dtype
    if spec.dtype == tf.string:
        return tf.constant([bytes(v) if isinstance(v, (bytes, bytearray)) else v for v in values])
    found = np.asarray([v.toArray() if hasattr(v, "toArray") else v for v in values], dtype=dtype)
    shape = spec.shape
    if shape.rank is not None and shape.rank > 0 and None not in shape.as_list()[1:]:
        found = found.reshape([len(values)] + shape.as_list()[1:])
    return tf.constant(found)


def _column_type(name, spec):
    from pyspark.sql import types

    if spec.shape.rank is None:
        raise ValueError(f"output {name} has no rank of its own, so that its column has no type: give the signature an output of known rank")
    kinds = {"bool": types.BooleanType(), "float64": types.DoubleType(), "string": types.StringType(), "int32": types.IntegerType()}
    kind = kinds.get(spec.dtype.name)
    if kind is None:
        kind = types.FloatType() if spec.dtype.is_floating else types.LongType() if spec.dtype.is_integer else None
    if kind is None:
        raise ValueError(f"output {name} is of type {spec.dtype.name}, which no column of Spark holds")
    for _ in range(spec.shape.rank - 1):
        kind = types.ArrayType(kind)
    return kind


def _plain(values):
    """An array's entries, by the first dimension, as Spark wants them."""
    if values.dtype == object:
        return _text(values.tolist())
    if values.dtype.kind not in "biuf" or values.dtype.itemsize == 2 and values.dtype.kind == "f":
        values = values.astype("float32")
    return values.tolist()


def _text(values):
    return [_text(v) if isinstance(v, list) else v.decode() for v in values]
