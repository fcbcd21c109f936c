"""DataFrames as files of tf.train.Example, and back, through Spark's filesystems.

The files are TFRecords. No TensorFlow is needed, neither on the driver nor on the executors.
"""

import weakref
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, MutableMapping, Optional, Sequence, Tuple

from tfos import _tfrecord
from tfos.compat import _example, _jvm
from tfos.compat._example import BYTES, FLOAT, INT64, Feature

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import DataFrame, Row
    from pyspark.sql.types import StructType

__all__ = ["fromTFExample", "infer_schema", "isLoadedDF", "loadTFRecords", "loadedDF", "saveAsTFRecords", "toTFExample"]

#: The DataFrames that loadTFRecords made in this process and that still are, with the directories they came from.
loadedDF: "MutableMapping[DataFrame, str]" = weakref.WeakKeyDictionary()



_BYTES_WRITABLE, _NULL_WRITABLE = "org.apache.hadoop.io.BytesWritable", "org.apache.hadoop.io.NullWritable"

# By the names that DataFrame.dtypes has.
_KINDS = {
    "boolean": INT64, "tinyint": INT64, "smallint": INT64, "int": INT64, "bigint": INT64, "long": INT64,
    "float": FLOAT, "double": FLOAT, "decimal": FLOAT, "vector": FLOAT, "string": BYTES, "binary": BYTES,
}  # fmt: skip


def isLoadedDF(df: "DataFrame") -> bool:
    """Whether this very DataFrame came from loadTFRecords. One derived from it, or equal to it, did not."""
    return df in loadedDF


def saveAsTFRecords(df: "DataFrame", output_dir: str) -> None:
    """Write a DataFrame as files of tf.train.Example, one for each partition, in a directory that must not exist yet.

    The directory is on whatever filesystem Spark knows, the default one if it names none. docs/spark.md says what becomes of each
    type. A null value is a feature that is not there.
    """
    records = df.rdd.mapPartitions(toTFExample(df.dtypes)).map(_framed)
    sc = df.rdd.context
    with _jvm.classes(sc):
        records.saveAsNewAPIHadoopFile(output_dir, _jvm.BYTES_OUTPUT, keyClass=_BYTES_WRITABLE, valueClass=_NULL_WRITABLE)


def _framed(record):
    return bytearray(_tfrecord.frame(bytes(record[0]))), None


def loadTFRecords(
    sc: "SparkContext", input_dir: str, binary_features: Sequence[str] = (), schema: "Optional[StructType]" = None
) -> "DataFrame":
    """A DataFrame of the tf.train.Examples in a directory's files, or in the files of a glob.

    Without a schema, the first record says what the columns are, as infer_schema does. With one, only its columns are read. Raises
    ValueError if there is no record to infer from. Files that end in .gz are uncompressed. Damaged files fail the Spark task that
    reads them.
    """
    from pyspark.sql import SparkSession

    with _jvm.classes(sc):
        framed = sc.newAPIHadoopFile(input_dir, _jvm.TFRECORD_INPUT, _BYTES_WRITABLE, _NULL_WRITABLE)
    records = framed.map(_unframed)
    if schema is None:
        first = records.take(1)
        if not first:
            raise ValueError(f"{input_dir}: there is no record to infer the columns from: name a schema")
        schema = infer_schema(first[0], binary_features)
    names = schema.names
    session = SparkSession.builder.getOrCreate()
    df = session.createDataFrame(records.mapPartitions(_rows(schema)), schema)
    assert df.columns == names
    loadedDF[df] = input_dir
    return df


def _unframed(pair):
    return _tfrecord.unframe(bytes(pair[0]))


def infer_schema(example: Any, binary_features: Sequence[str] = ()) -> "StructType":
    """The columns that a tf.train.Example suggests, in the order of their names.

    A feature of one value is a column of that type (long, float, string); one of several, or of none, an array of it. Bytes are text
    unless binary_features has the name. example is the message, or its bytes.
    """
    from pyspark.sql.types import ArrayType, BinaryType, FloatType, LongType, StringType, StructField, StructType

    fields = []
    for name, feature in sorted(_decoded(example).items()):
        if feature.kind == BYTES:
            one = BinaryType() if name in binary_features else StringType()
        else:
            one = LongType() if feature.kind == INT64 else FloatType()
        fields.append(StructField(name, one if len(feature.values) == 1 else ArrayType(one, True), True))
    return StructType(fields)


def toTFExample(dtypes: Sequence[Tuple[str, str]]) -> "Callable[[Iterable[Row]], Iterator[Tuple[bytearray, None]]]":
    """A function for mapPartitions that makes rows pairs of a serialized tf.train.Example and None.

    dtypes is what DataFrame.dtypes says. Raises ValueError, at once, for a type that has no place in an Example.
    """
    columns = [(name, *_kind(name, dtype)) for name, dtype in dtypes]

    def convert(rows):
        for row in rows:
            features = {}
            for (name, kind, dtype), value in zip(columns, row):
                if value is not None:
                    features[name] = Feature(kind, _values(name, kind, dtype, value))
            yield bytearray(_example.encode(features)), None

    return convert


def _kind(name, dtype):
    element = dtype[len("array<") : -1] if dtype.startswith("array<") else dtype
    kind = _KINDS.get(element.split("(")[0])
    if kind is None:
        raise ValueError(f"column {name} is of type {dtype}, which a tf.train.Example has no place for: cast it, or drop it")
    return kind, dtype


def _values(name, kind, dtype, value):
    if dtype == "vector":
        return [float(v) for v in value.toArray()]
    values = value if dtype.startswith("array<") else [value]
    if any(v is None for v in values):
        raise ValueError(f"column {name}: an array with a null in it has no place in a tf.train.Example: fill it")
    if kind == BYTES:
        return [v.encode() if isinstance(v, str) else bytes(v) for v in values]
    return [(int if kind == INT64 else float)(v) for v in values]


def fromTFExample(iter: "Iterable[Any]", binary_features: Sequence[str] = ()) -> "Iterator[Row]":  # noqa: A002
    """Make Rows of serialized tf.train.Examples, or of pairs that begin with one: a function for mapPartitions.

    Each Row has the columns that its own Example suggests, as infer_schema says.
    """
    from pyspark.sql import Row

    for record in iter:
        features = _decoded(record[0] if isinstance(record, tuple) else record)
        row = {}
        for name, feature in sorted(features.items()):
            values = _read(feature, feature.kind == BYTES and name not in binary_features, name)
            row[name] = values[0] if len(values) == 1 else values
        yield Row(**row)


def _rows(schema):
    """A function for mapPartitions that makes tuples for a schema of serialized Examples."""
    from pyspark.sql.types import (
        ArrayType, BinaryType, BooleanType, ByteType, DoubleType, FloatType, IntegerType, LongType, ShortType, StringType,
    )  # fmt: skip

    columns = []
    for field in schema.fields:
        array = isinstance(field.dataType, ArrayType)
        one = field.dataType.elementType if array else field.dataType
        if isinstance(one, (StringType, BinaryType)):
            kind = BYTES
        elif isinstance(one, (FloatType, DoubleType)):
            kind = FLOAT
        elif isinstance(one, (BooleanType, ByteType, ShortType, IntegerType, LongType)):
            kind = INT64
        else:
            raise ValueError(f"column {field.name} is of type {field.dataType.simpleString()}, which a tf.train.Example does not hold")
        columns.append((field.name, kind, array, isinstance(one, StringType), isinstance(one, BooleanType)))

    def convert(records):
        for record in records:
            features = _decoded(record)
            yield tuple(_column(features.get(name), name, kind, array, text, boolean) for name, kind, array, text, boolean in columns)

    return convert


def _column(feature, name, kind, array, text, boolean):
    if feature is None or feature.kind == 0:
        return None
    if feature.kind != kind:
        names = {BYTES: "bytes", FLOAT: "floats", INT64: "integers"}
        raise ValueError(f"feature {name} has {names[feature.kind]} in one record, and the column holds {names[kind]}: name a schema")
    values = _read(feature, text, name)
    if boolean:
        values = [bool(v) for v in values]
    if array:
        return values
    if len(values) > 1:
        raise ValueError(f"feature {name} has {len(values)} values in one record, and the column holds one: name a schema with an array")
    return values[0] if values else None


def _read(feature, text, name):
    if feature.kind != BYTES:
        return list(feature.values)
    try:
        return [v.decode() if text else bytearray(v) for v in feature.values]
    except UnicodeDecodeError:
        raise ValueError(f"feature {name} holds bytes that are no text: name it in binary_features") from None


def _decoded(example):
    if hasattr(example, "SerializeToString"):
        example = example.SerializeToString()
    return _example.decode(bytes(example))
