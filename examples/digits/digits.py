"""What the three training programs share: the images, the model, the options, and the export of the trained model.

How the work is distributed is each program's own; nothing here knows of a cluster.
"""
import argparse
import os
import time

# Before the import, which reads them: warnings only, and the same rounding on every kind of processor.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf

SEED = 20

# A small convolutional network. Insertion order is the order of `variables` everywhere below.
SHAPES = {
    "conv1/kernel": (3, 3, 1, 16),
    "conv1/bias": (16,),
    "conv2/kernel": (3, 3, 16, 32),
    "conv2/bias": (32,),
    "dense/kernel": (128, 10),
    "dense/bias": (10,),
}


def options(description):
    """Parses the command line. Directories default to what tfos hands every task in TFOS_CHECKPOINT_DIR."""
    given = os.environ.get("TFOS_CHECKPOINT_DIR", "")
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--steps", type=int, default=400, help="stop when the model has taken this many (default %(default)s)")
    p.add_argument("--batch", type=int, default=64, help="images per step (default %(default)s)")
    p.add_argument("--learning-rate", type=float, default=0.3, help="of the first step; falls to 0 (default %(default)s)")
    p.add_argument("--checkpoint-every", type=int, default=100, metavar="STEPS")
    p.add_argument("--checkpoint-dir", default=given or "checkpoints", help="local path or hdfs:// (default %(default)s)")
    p.add_argument("--model-dir", help="local path or hdfs:// (default: model, inside the checkpoint directory)")
    p.add_argument("--pause", type=float, default=0, metavar="SECONDS", help="wait after each step, to have time to watch or to interfere")
    args = p.parse_args()
    args.model_dir = args.model_dir or args.checkpoint_dir.rstrip("/") + "/model"
    return args


def load():
    """Returns (train images, train labels), (held-out images, held-out labels): always the same fifth is held out.

    An image is 64 numbers from 0 to 1, row by row.
    """
    from sklearn.datasets import load_digits  # slow to import, and a parameter server has no use for it

    images, labels = load_digits(return_X_y=True)
    images, labels = (images / 16).astype(np.float32), labels.astype(np.int64)
    order = np.random.default_rng(SEED).permutation(len(images))
    held_out, train = np.split(order, [len(order) // 5])
    return (images[train], labels[train]), (images[held_out], labels[held_out])


def dataset(train, batch, seed):
    """Endless shuffled batches of the training images and labels."""
    images, labels = train
    ds = tf.data.Dataset.from_tensor_slices((images, labels))
    return ds.shuffle(len(images), seed=seed).repeat().batch(batch)


def initial_values():
    """The untrained model: the same on every machine and in every run."""
    rng = np.random.default_rng(SEED)
    return {
        name: (rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[:-1])) if len(shape) > 1 else np.zeros(shape)).astype(np.float32)
        for name, shape in SHAPES.items()
    }


def scores(variables, images):
    """The model: ten scores for each image, the highest at the digit it takes it for."""
    kernel1, bias1, kernel2, bias2, kernel3, bias3 = variables
    x = tf.reshape(images, [-1, 8, 8, 1])
    x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, kernel1, 1, "SAME") + bias1), 2, 2, "SAME")
    x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, kernel2, 1, "SAME") + bias2), 2, 2, "SAME")
    return tf.reshape(x, [-1, 128]) @ kernel3 + bias3


def loss(variables, images, labels):
    """How wrong the model is, averaged over the batch."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=scores(variables, images)))


def learning_rate(args, step):
    """Falls to zero with the last step, so that the result does not depend on which batch happened to come last."""
    return args.learning_rate * tf.maximum(0.0, 1 - tf.cast(step, tf.float32) / args.steps)


def accuracy(image_scores, labels):
    """The part of the images that got their highest score at their label."""
    return float(np.mean(np.argmax(image_scores, axis=1) == labels))


def finish(values, directory):
    """Exports the trained model as a SavedModel and reports its accuracy on the held-out images. Needs TF 2 behaviour."""
    model = tf.Module()
    model.trained = [tf.Variable(v) for v in values]

    @tf.function(input_signature=[tf.TensorSpec([None, 64], tf.float32, name="images")])
    def serve(images):
        return {"scores": scores(model.trained, images)}

    tf.saved_model.save(model, directory, signatures=serve)
    images, labels = load()[1]
    report(accuracy(serve(tf.constant(images))["scores"].numpy(), labels), len(labels), directory)


def report(got, images, directory):
    say(f"accuracy {got:.4f} on {images} held-out images, model in {directory}")


def progress(step, steps, value):
    """Prints the line from which tfos reads a task's step."""
    say(f"step {step}/{steps} loss {value:.4f}")


def say(line):
    print(time.strftime("%H:%M:%S"), line, flush=True)
