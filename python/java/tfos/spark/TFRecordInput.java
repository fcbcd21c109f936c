package tfos.spark;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.BytesWritable;
import org.apache.hadoop.io.NullWritable;
import org.apache.hadoop.io.compress.CompressionCodec;
import org.apache.hadoop.io.compress.CompressionCodecFactory;
import org.apache.hadoop.mapreduce.InputSplit;
import org.apache.hadoop.mapreduce.JobContext;
import org.apache.hadoop.mapreduce.RecordReader;
import org.apache.hadoop.mapreduce.TaskAttemptContext;
import org.apache.hadoop.mapreduce.lib.input.FileInputFormat;
import org.apache.hadoop.mapreduce.lib.input.FileSplit;

/**
 * Reads files of TFRecords: a key is a record with its frame, whose checksums the receiver holds against it. A file is read from
 * its beginning, by one task, for its records cannot be found from the middle. What Hadoop has a codec for is uncompressed.
 */
public final class TFRecordInput extends FileInputFormat<BytesWritable, NullWritable> {
  /** A length (8 bytes, little endian) and its checksum stand before the data, the data's checksum after it. */
  private static final int HEADER = 12;
  private static final int FRAME = HEADER + 4;
  private static final long LONGEST = Integer.MAX_VALUE - FRAME - 8; // as a Java array

  @Override
  protected boolean isSplitable(JobContext job, Path file) {
    return false;
  }

  @Override
  public RecordReader<BytesWritable, NullWritable> createRecordReader(InputSplit split, TaskAttemptContext task) {
    return new Reader();
  }

  private static final class Reader extends RecordReader<BytesWritable, NullWritable> {
    private final byte[] header = new byte[HEADER];
    private BytesWritable record;
    private Path file;
    private long size; // as it lies there
    private boolean compressed;
    private long at; // of what is uncompressed
    private FSDataInputStream raw;
    private DataInputStream in;

    @Override
    public void initialize(InputSplit split, TaskAttemptContext task) throws IOException {
      file = ((FileSplit) split).getPath();
      size = ((FileSplit) split).getLength();
      raw = file.getFileSystem(task.getConfiguration()).open(file);
      CompressionCodec codec = new CompressionCodecFactory(task.getConfiguration()).getCodec(file);
      compressed = codec != null;
      InputStream stream = compressed ? codec.createInputStream(raw) : raw;
      in = new DataInputStream(new BufferedInputStream(stream, 1 << 20));
    }

    @Override
    public boolean nextKeyValue() throws IOException {
      int first = in.read();
      if (first < 0) {
        return false;
      }
      header[0] = (byte) first;
      try {
        in.readFully(header, 1, HEADER - 1);
        long length = ByteBuffer.wrap(header).order(ByteOrder.LITTLE_ENDIAN).getLong();
        // A damaged length must not become an array of that size.
        long most = compressed ? LONGEST : Math.min(LONGEST, size - at - FRAME);
        if (length < 0 || length > most) {
          throw new IOException(file + ": no whole record begins at byte " + at + ": the file is damaged, cut off, or no TFRecord file");
        }
        byte[] frame = new byte[FRAME + (int) length];
        System.arraycopy(header, 0, frame, 0, HEADER);
        in.readFully(frame, HEADER, frame.length - HEADER);
        record = new BytesWritable(frame);
        at += frame.length;
        return true;
      } catch (EOFException e) {
        throw new IOException(file + ": the record at byte " + at + " is cut off", e);
      }
    }

    @Override
    public BytesWritable getCurrentKey() {
      return record;
    }

    @Override
    public NullWritable getCurrentValue() {
      return NullWritable.get();
    }

    @Override
    public float getProgress() throws IOException {
      return size == 0 ? 1 : (float) raw.getPos() / size;
    }

    @Override
    public void close() throws IOException {
      if (in != null) {
        in.close();
      }
    }
  }
}
