"""Loads an exported model in a fresh process and measures its accuracy on the held-out images; fails if it is too low."""
import argparse
import sys

import digits
import tensorflow as tf


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("model_dir", help="local path or hdfs://")
    p.add_argument("--min-accuracy", type=float, default=0.95)
    args = p.parse_args()

    serve = tf.saved_model.load(args.model_dir).signatures["serving_default"]
    images, labels = digits.load()[1]
    got = digits.accuracy(serve(images=tf.constant(images))["scores"].numpy(), labels)
    digits.report(got, len(labels), args.model_dir)
    if got < args.min_accuracy:
        sys.exit(f"accuracy {got:.4f} is below {args.min_accuracy}")


if __name__ == "__main__":
    main()
