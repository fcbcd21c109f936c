"""What a map_fun has of its node: rows from Spark, and where things are."""

import collections
import getpass

from tfos import _source


def hdfs_path(ctx, path):
    """path as an absolute one: in the default filesystem of the cluster, if it names none."""
    from tfos.compat import _paths

    return _paths.hdfs_path(ctx, path)


def start_cluster_server(ctx, num_gpus=1, rdma=False):
    """The cluster_spec and the server of this node, for programs of TensorFlow 1 that run under TensorFlow 2."""
    import tensorflow as tf

    cluster = tf.train.ClusterSpec(ctx.cluster_spec)
    if ctx.job_name not in ctx.cluster_spec:  # an evaluator, which is in nobody's cluster
        return cluster, None
    ctx.release_port()
    server = tf.distribute.Server(cluster, job_name=ctx.job_name, task_index=ctx.task_index, protocol="grpc")
    return cluster, server


def next_batch(mgr, batch_size, qname="input"):
    """Gone since long: use DataFeed."""
    raise Exception("TFNode.next_batch is gone: use TFNode.DataFeed(ctx.mgr).next_batch(batch_size)")


def export_saved_model(sess, export_dir, tag_set, signatures):
    """Save what a session of TensorFlow 1 holds as a SavedModel.

    signatures maps names to {"inputs": {name: tensor}, "outputs": {name: tensor}, "method_name": name}; tag_set is tags, by commas.
    """
    import tensorflow.compat.v1 as tf

    g = sess.graph
    g._unsafe_unfinalize()  # MonitoredTrainingSession finalizes it
    definitions = {}
    for name, s in signatures.items():
        definitions[name] = tf.saved_model.signature_def_utils.build_signature_def(
            inputs={k: tf.saved_model.utils.build_tensor_info(t) for k, t in s["inputs"].items()},
            outputs={k: tf.saved_model.utils.build_tensor_info(t) for k, t in s["outputs"].items()},
            method_name=s.get("method_name", tf.saved_model.signature_constants.PREDICT_METHOD_NAME),
        )
    builder = tf.saved_model.builder.SavedModelBuilder(export_dir)
    builder.add_meta_graph_and_variables(sess, tag_set.split(","), signature_def_map=definitions, clear_devices=True)
    g.finalize()
    builder.save()


class DataFeed:
    """Rows that Spark feeds to this node, as batches.

    mgr is ctx.mgr. Asking for the next batch says that the program is done with those before it: until then their rows come again if
    the program dies. With train_mode=False a batch ends with its partition, and each row is to be answered by batch_results. With
    input_mapping, a dict from columns to names, a batch is a dict from these names to lists of values, taken from rows in the order
    of the sorted columns.
    """

    def __init__(self, mgr, train_mode=True, qname_in="input", qname_out="output", input_mapping=None):
        self.mgr = mgr
        self.train_mode = train_mode
        self.qname_in = qname_in
        self.qname_out = qname_out
        self.done_feeding = False
        self.input_tensors = None if input_mapping is None else [tensor for _, tensor in sorted(input_mapping.items())]
        self._queue = mgr.rows(qname_in, qname_out)

    def next_batch(self, batch_size):
        """batch_size rows. There are fewer, or none, at the end of the feed, and fewer at the end of a partition whose rows are to be
        answered, and of any with train_mode off."""
        rows = self._queue.take(batch_size, whole=self.train_mode)
        if self._queue.over:
            self.done_feeding = True
        if self.input_tensors is None:
            return rows
        columns = list(zip(*rows)) or [()] * len(self.input_tensors)
        return {tensor: list(columns[i]) for i, tensor in enumerate(self.input_tensors)}

    def should_stop(self):
        """Whether the feed has ended."""
        return self.done_feeding

    def batch_results(self, results):
        """Answer rows of earlier batches, in their order, one result for each."""
        self._queue.answer(list(results))

    def terminate(self):
        """Want no more rows: what Spark still has for this node is dropped."""
        self._queue.terminate()
        self.done_feeding = True


class _Shelf:
    """Rows that were fetched and not handed out, of one partition or of all."""

    def __init__(self):
        self.parts = collections.deque()  # [head of the chunk, its rows, how many of them were handed out]
        self.rows = 0
        self.ended = False  # nothing more will come


class AgentRows:
    """The rows of one queue of this node's agent.

    Batches that end with their partition are filled for each partition by itself, so that two that come at the same time leave no
    batch short.
    """

    def __init__(self, qname):
        from tfos import _rows

        self._decode = _rows.decode
        self._source = _source.Source(qname)
        self.over = False
        self._ended = False  # nothing more will come
        self._shelves = {}  # by partition; None: of all
        self._done = []  # tickets of chunks whose rows were all handed out, and need no answer
        self._held = {}  # tickets of chunks that are not done, which the agent was not told of; values mean nothing
        self._owed = collections.deque()  # [ticket, rows]: to be answered

    def take(self, n, whole):
        self._acknowledge()
        while True:
            for key, shelf in self._shelves.items():
                if shelf.rows >= n or shelf.ended or self._ended:
                    batch = self._cut(shelf, n)
                    if not shelf.rows and (shelf.ended or self._ended):
                        del self._shelves[key]
                    self.over = self._ended and not self._shelves
                    return batch
            if self._ended:
                self.over = True
                return []
            self._fetch(whole)

    def _acknowledge(self):
        """The rows that were handed out are done with, but for those that need an answer."""
        parts = [s.parts[0] for s in self._shelves.values() if s.parts and s.parts[0][2] and not s.parts[0][0]["results"]]
        for head, _, n in parts[1:]:
            self._source.ack([], (head["ticket"], n))
        if self._done or parts:
            self._source.ack(self._done, (parts[0][0]["ticket"], parts[0][2]) if parts else (0, 0))
        for ticket in self._done:
            self._held.pop(ticket, None)
        self._done = []

    def _fetch(self, whole):
        found = self._source.take(self._held)
        if found is None:
            self._ended = True
            self._shelves = {key: shelf for key, shelf in self._shelves.items() if shelf.rows}
            return
        head, body = found
        head.setdefault("results", False)
        key = None if whole and not head["results"] else head["stream"]
        if head["rows"]:
            self._held[head["ticket"]] = None
            shelf = self._shelves.setdefault(key, _Shelf())
            rows = self._decode(head["meta"], body)
            shelf.parts.append([head, rows, head.get("skip", 0)])
            shelf.rows += len(rows) - head.get("skip", 0)
        else:
            self._source.ack([head["ticket"]])
        if head.get("last") and key in self._shelves and key is not None:
            self._shelves[key].ended = True
            if not self._shelves[key].rows:
                del self._shelves[key]

    def _cut(self, shelf, n):
        batch = []
        while shelf.parts and len(batch) < n:
            part = shelf.parts[0]
            head, rows, at = part
            more = rows[at : at + n - len(batch)]
            batch += more
            part[2] += len(more)
            if head["results"]:
                self._owe(head["ticket"], len(more))
            if part[2] == len(rows):
                shelf.parts.popleft()
                if not head["results"]:
                    self._done.append(head["ticket"])
        shelf.rows -= len(batch)
        return batch

    def _owe(self, ticket, n):
        if self._owed and self._owed[-1][0] == ticket:
            self._owed[-1][1] += n
        else:
            self._owed.append([ticket, n])

    def answer(self, results):
        owed = sum(n for _, n in self._owed)
        if len(results) > owed and owed:
            raise ValueError(f"{len(results)} results for {owed} rows: there is one for each row that next_batch gave")
        while results and self._owed:
            first = self._owed[0]
            part, results = results[: first[1]], results[first[1] :]
            self._source.answer(first[0], part)
            first[1] -= len(part)
            if first[1] == 0:
                self._owed.popleft()
                self._held.pop(first[0], None)

    def terminate(self):
        self._source.terminate()
        self.over = True


class QueueRows:
    """The rows of a queue of TFManager's, in which None ends the feed, and EndPartition a partition."""

    def __init__(self, queue, out):
        self._queue, self._out = queue, out
        self.over = False

    def take(self, n, whole):
        from tfos.compat import marker

        batch = []
        while len(batch) < n:
            row = self._queue.get(block=True)
            self._queue.task_done()
            if row is None:
                self.over = True
                break
            if isinstance(row, marker.Marker):
                if not whole and batch:
                    break
                continue
            batch.append(row)
        return batch

    def answer(self, results):
        for r in results:
            self._out().put(r, block=True)

    def terminate(self):
        """Take what is left out of the queue, so that whoever waits for that goes on."""
        import queue

        while True:
            try:
                self._queue.get(block=True, timeout=1)
                self._queue.task_done()
            except queue.Empty:
                return


class Context:
    """A node, as map_fun sees it."""

    def __init__(self, executor_id, job_name, task_index, cluster_spec, defaultFS, working_dir, mgr, tmp_socket=None, num_workers=1):
        self.worker_num = executor_id  # the older name
        self.executor_id = executor_id
        self.job_name = job_name
        self.task_index = task_index
        self.cluster_spec = cluster_spec
        self.num_workers = num_workers
        self.defaultFS = defaultFS
        self.working_dir = working_dir
        self.mgr = mgr
        self.tmp_socket = tmp_socket

    @property
    def user(self):
        """The name of the user that this process runs as."""
        return getpass.getuser()

    def absolute_path(self, path):
        """path as an absolute one, in the default filesystem."""
        return hdfs_path(self, path)

    def start_cluster_server(self, num_gpus=1, rdma=False):
        return start_cluster_server(self, num_gpus, rdma)

    def export_saved_model(self, sess, export_dir, tag_set, signatures):
        return export_saved_model(sess, export_dir, tag_set, signatures)

    def get_data_feed(self, train_mode=True, qname_in="input", qname_out="output", input_mapping=None):
        if self.mgr is None:
            raise ValueError("nothing feeds this node: only those of a TFCluster have a feed")
        return DataFeed(self.mgr, train_mode, qname_in, qname_out, input_mapping)

    def release_port(self):
        """Give up this program's hold of the node's port, for TensorFlow to bind. The agent holds it on."""
        if self.tmp_socket is not None:
            self.tmp_socket.close()
            self.tmp_socket = None
