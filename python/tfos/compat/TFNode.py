"""What a map_fun has of its node: rows from Spark, and where things are."""

import collections

from tfos import _feed


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
        """Up to batch_size rows. There are fewer at the end of the feed, and at the end of a partition when train_mode is off."""
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


class AgentRows:
    """The rows of one queue of this node's agent."""

    def __init__(self, qname):
        from tfos import _rows

        self._decode = _rows.decode
        self._source = _feed.Source(qname)
        self.over = False
        self._rows, self._at = [], 0  # the chunk in hand
        self._chunk = None  # its head
        self._next = None  # a chunk that belongs to the next batch
        self._handed = []  # tickets of chunks whose rows were all handed out
        self._owed = collections.deque()  # [ticket, rows]: to be answered

    def take(self, n, whole):
        if self._handed:
            self._source.ack(self._handed)
            self._handed = []
        batch = []
        while len(batch) < n and not self.over:
            if self._at == len(self._rows):
                if not self._fetch(batch, whole):
                    break
                continue
            part = self._rows[self._at : self._at + n - len(batch)]
            batch += part
            self._at += len(part)
            self._owe(len(part))
            if self._at == len(self._rows) and not self._chunk["results"]:
                self._handed.append(self._chunk["ticket"])
        return batch

    def _owe(self, n):
        if not self._chunk["results"]:
            return
        ticket = self._chunk["ticket"]
        if self._owed and self._owed[-1][0] == ticket:
            self._owed[-1][1] += n
        else:
            self._owed.append([ticket, n])

    def _fetch(self, batch, whole):
        """Get the next chunk. It is False where the batch is to end before it."""
        held = self._handed if batch else ()
        found, self._next = self._next or self._source.take(held), None
        if found is None:
            self.over = True
            return False
        head, body = found
        head.setdefault("results", False)
        whole = whole and not head["results"]
        if batch and not whole and head["stream"] != self._chunk["stream"]:
            self._next = found
            return False
        self._chunk = head
        self._rows, self._at = (self._decode(head["meta"], body) if head["rows"] else []), 0
        if not self._rows:
            self._source.ack([head["ticket"]])
            return whole or not batch
        return True

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

    def absolute_path(self, path):
        """path as an absolute one, in the default filesystem."""
        return hdfs_path(self, path)

    def start_cluster_server(self, num_gpus=1, rdma=False):
        return start_cluster_server(self, num_gpus, rdma)

    def export_saved_model(self, sess, export_dir, tag_set, signatures):
        return export_saved_model(sess, export_dir, tag_set, signatures)

    def get_data_feed(self, train_mode=True, qname_in="input", qname_out="output", input_mapping=None):
        return DataFeed(self.mgr, train_mode, qname_in, qname_out, input_mapping)

    def release_port(self):
        """Give up this program's hold of the node's port, for TensorFlow to bind. The agent holds it on."""
        if self.tmp_socket is not None:
            self.tmp_socket.close()
            self.tmp_socket = None
