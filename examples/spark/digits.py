"""Handwritten digits, as the programs here want them: the 1,797 images that scikit-learn carries. Every fifth is held out."""


def frame(spark):
    """A DataFrame of id, label (0 to 9), and image: 64 numbers from 0 to 1."""
    from sklearn.datasets import load_digits

    found = load_digits()
    rows = [(i, int(label), [float(p) / 16 for p in image]) for i, (image, label) in enumerate(zip(found.data, found.target))]
    return spark.createDataFrame(rows, "id long, label long, image array<float>").repartition(2, "id").sortWithinPartitions("id").cache()


def split(df):
    """What to train with, and what is held out."""
    return df.filter("id % 5 != 0"), df.filter("id % 5 = 0")


def accuracy(pairs):
    """Of pairs of a label and the ten scores."""
    pairs = list(pairs)
    right = sum(max(range(10), key=scores.__getitem__) == label for label, scores in pairs) / len(pairs)
    print(f"accuracy {right:.4f} on {len(pairs)} held-out rows")
    return right
